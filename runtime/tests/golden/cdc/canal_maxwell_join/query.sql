CREATE TABLE orders (id INT, customer INT, amount INT) WITH ('value.format' = 'canal-json');
CREATE TABLE customers (id INT, name STRING) WITH ('value.format' = 'maxwell-json');
CREATE TABLE report (id INT, name STRING, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO report SELECT o.id, c.name, o.amount FROM orders AS o JOIN customers AS c ON o.customer = c.id;
