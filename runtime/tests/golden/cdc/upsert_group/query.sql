CREATE TABLE orders (id INT, customer STRING NOT NULL, amount INT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE totals (customer STRING, n BIGINT, spent INT, smallest INT) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT customer, COUNT(*), SUM(amount), MIN(amount) FROM orders GROUP BY customer;
