CREATE TABLE orders (id INT, amount INT);
CREATE TABLE results (id INT, amount INT NOT NULL);
INSERT INTO results SELECT id, amount FROM orders;
