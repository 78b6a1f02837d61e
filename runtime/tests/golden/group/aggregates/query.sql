CREATE TABLE sales (shop STRING, item STRING, qty INT, price DOUBLE);
CREATE TABLE totals (shop STRING, n BIGINT, priced BIGINT, total INT, low INT, high INT, mean INT, revenue DOUBLE, mean_price DOUBLE, last_item STRING, PRIMARY KEY (shop) NOT ENFORCED);
INSERT INTO totals SELECT shop, COUNT(*), COUNT(price), SUM(qty), MIN(qty), MAX(qty), AVG(qty), SUM(price), AVG(price), MAX(item) FROM sales GROUP BY shop;
