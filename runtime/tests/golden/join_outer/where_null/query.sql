CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING);
CREATE TABLE lonely (id INT) WITH ('changelog.mode' = 'retract');
INSERT INTO lonely SELECT o.id FROM orders AS o LEFT JOIN customers AS c ON o.customer = c.id WHERE c.id IS NULL;
