CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING);
CREATE TABLE pairs (id INT, customer INT, amount INT, c INT, name STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO pairs SELECT o.id, customer, amount, c.id, name FROM orders AS o LEFT JOIN customers AS c ON o.customer = c.id AND o.amount > 4 AND c.name <> 'Ada' WHERE o.id < 6;
