CREATE TABLE orders (id INT, customer INT, amount INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE TABLE customers (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE TABLE wide (id INT, amount INT, name STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO wide SELECT o.id, amount, name FROM orders AS o LEFT JOIN customers AS c ON o.customer = c.id;
