CREATE TABLE customers (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('value.fields-include' = 'all');
CREATE TABLE orders (id INT, customer INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE report (id INT, name STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO report SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON o.customer = c.id;
