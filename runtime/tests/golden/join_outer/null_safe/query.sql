CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING);
CREATE TABLE pairs (id INT, customer INT, amount INT, c INT, name STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO pairs SELECT o.id, customer, amount, c.id, name FROM orders AS o FULL JOIN customers AS c ON o.customer IS NOT DISTINCT FROM c.id;
