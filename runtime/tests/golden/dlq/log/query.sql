CREATE TABLE orders (id INT, amount INT) WITH ('error-handling.mode' = 'log');
CREATE TABLE results (id INT, amount INT);
INSERT INTO results SELECT id, amount FROM orders;
