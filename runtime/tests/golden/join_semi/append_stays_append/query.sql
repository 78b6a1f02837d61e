CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING);
CREATE TABLE r (id INT);
INSERT INTO r SELECT id FROM orders WHERE customer IN (SELECT id FROM customers);
