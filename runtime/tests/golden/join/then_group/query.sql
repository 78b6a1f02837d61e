CREATE TABLE orders (id INT, customer INT, amount INT);
CREATE TABLE customers (id INT, name STRING, country STRING);
CREATE TABLE countries (country STRING, orders BIGINT, customers BIGINT, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO countries SELECT country, COUNT(*), COUNT(DISTINCT name), SUM(amount) FROM orders JOIN customers ON orders.customer = customers.id GROUP BY country;
