CREATE TABLE orders (id INT, amount INT);
CREATE TABLE results (id INT, amount INT);
INSERT INTO results SELECT id, amount FROM orders;
