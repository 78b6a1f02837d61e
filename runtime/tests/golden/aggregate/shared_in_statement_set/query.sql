CREATE TABLE sales (region STRING, item STRING, qty INT);
CREATE TABLE big (region STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
CREATE TABLE sums (region STRING, total INT, PRIMARY KEY (region) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE TABLE pairs (a STRING, b STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
CREATE VIEW per_region AS SELECT region, COUNT(*) AS n, SUM(qty) AS total FROM sales WHERE region IS NOT NULL GROUP BY region;
EXECUTE STATEMENT SET BEGIN
INSERT INTO big SELECT region, n FROM per_region WHERE n > 1;
INSERT INTO sums SELECT region, total FROM per_region;
INSERT INTO pairs SELECT x.region, y.region, x.n + y.n FROM per_region AS x JOIN per_region AS y ON x.total < y.total OR x.n = y.n;
END;
