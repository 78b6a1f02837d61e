CREATE TABLE sales (shop STRING, item STRING, qty INT, price DOUBLE);
CREATE TABLE totals (n BIGINT, shops BIGINT, total INT, high DOUBLE) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT COUNT(*), COUNT(DISTINCT shop), SUM(qty), MAX(price) FROM sales;
