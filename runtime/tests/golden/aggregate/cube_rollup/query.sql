CREATE TABLE sales (region STRING, item STRING, qty INT);
CREATE TABLE cubes (region STRING, big BOOLEAN, n BIGINT, items BIGINT, texts BIGINT) WITH ('changelog.mode' = 'retract');
CREATE TABLE rolls (region STRING, item STRING, n BIGINT, regions BIGINT, largest INT) WITH ('changelog.mode' = 'retract');
INSERT INTO cubes SELECT region, qty > 3, COUNT(*), COUNT(DISTINCT item), COUNT(region) FROM sales GROUP BY CUBE (region, qty > 3);
INSERT INTO rolls SELECT region, item, COUNT(*), COUNT(DISTINCT region), MAX(qty) FROM sales GROUP BY ROLLUP (region, item) HAVING COUNT(*) > 1;
