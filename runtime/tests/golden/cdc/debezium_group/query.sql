CREATE TABLE orders (id INT NOT NULL, customer STRING, amount INT) WITH ('value.format' = 'debezium-json');
CREATE TABLE totals (customer STRING, n BIGINT, spent INT, largest INT) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT customer, COUNT(*), SUM(amount), MAX(amount) FROM orders GROUP BY customer;
