CREATE TABLE sales (region STRING, item STRING, qty INT);
CREATE TABLE sums (a STRING, b STRING, largest STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO sums SELECT a, b, MAX(b), COUNT(*) FROM (SELECT region AS a, region AS b FROM sales) GROUP BY GROUPING SETS ((a, b), (a));
