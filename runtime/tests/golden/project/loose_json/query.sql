CREATE TABLE loose (id INT, name STRING, amount DECIMAL(10, 2), ok BOOLEAN);
CREATE TABLE results (id INT, name STRING, amount DECIMAL(10, 2), ok BOOLEAN);
INSERT INTO results SELECT * FROM loose;
