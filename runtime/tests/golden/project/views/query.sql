CREATE TABLE sales (shop STRING, qty INT);
CREATE VIEW positive AS SELECT shop AS s, qty AS q FROM sales WHERE qty > 0;
CREATE VIEW doubled (place, amount) AS SELECT s, q * 2 FROM positive;
CREATE TABLE totals (shop STRING, n BIGINT, total INT, PRIMARY KEY (shop) NOT ENFORCED);
INSERT INTO totals WITH big AS (SELECT * FROM doubled WHERE amount > 2), named AS (SELECT UPPER(place) AS p, amount FROM big) SELECT p, COUNT(*), SUM(amount) FROM named GROUP BY p;
