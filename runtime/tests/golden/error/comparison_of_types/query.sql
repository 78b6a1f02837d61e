CREATE TABLE orders (id INT, code STRING);
CREATE TABLE results (id INT);
INSERT INTO results SELECT id FROM orders WHERE code = id;
