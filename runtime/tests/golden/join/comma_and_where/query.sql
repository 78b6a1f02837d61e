CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING, country STRING);

CREATE TABLE joined (order_id INT, name STRING);
INSERT INTO joined SELECT orders.id, name FROM orders, customers WHERE orders.customer = customers.id AND amount > 5 AND country IS NOT NULL;
