CREATE TABLE sales (region STRING, qty INT);
CREATE TABLE totals (region STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT region, COUNT(*) FROM sales WHERE qty > 100 GROUP BY GROUPING SETS ((region), ());
