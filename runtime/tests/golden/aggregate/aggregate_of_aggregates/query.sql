CREATE TABLE sales (shop STRING, item STRING, qty INT);
CREATE TABLE shops (best INT, items BIGINT, spread DOUBLE, mid DOUBLE, bag STRING, low INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE sizes (n BIGINT, shops BIGINT, total INT, PRIMARY KEY (n) NOT ENFORCED);
INSERT INTO shops SELECT MAX(qty), SUM(n), STDDEV_POP(CAST(qty AS DOUBLE)), PERCENTILE(qty, 0.5), CAST(COLLECT(n) AS STRING), MIN(qty) FROM (SELECT shop, SUM(qty) AS qty, COUNT(*) AS n FROM sales GROUP BY shop);
INSERT INTO sizes SELECT n, COUNT(DISTINCT shop), SUM(qty) FROM (SELECT shop, SUM(qty) AS qty, COUNT(*) AS n FROM sales GROUP BY shop) GROUP BY n HAVING SUM(qty) > 3;
