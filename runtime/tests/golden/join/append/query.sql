CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING, country STRING);

CREATE TABLE joined (order_id INT, amount INT, name STRING, country STRING);
INSERT INTO joined SELECT o.id, o.amount, c.name, c.country FROM orders AS o JOIN customers AS c ON o.customer = c.id;
