CREATE TABLE sales (region STRING, item STRING, qty INT);
CREATE TABLE totals (region STRING, item STRING, g BIGINT, gi BIGINT, n BIGINT, qty INT) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT region, item, GROUPING_ID(region, item), GROUPING(item), COUNT(*), SUM(qty) FROM sales GROUP BY GROUPING SETS ((region, item), (region), (item), ());
