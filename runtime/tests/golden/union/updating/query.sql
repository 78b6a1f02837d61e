CREATE TABLE sales (shop STRING, qty INT);
CREATE TABLE counts (k STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO counts SELECT shop, COUNT(*) FROM sales GROUP BY shop UNION ALL SELECT shop, COUNT(qty) FROM sales GROUP BY shop UNION ALL SELECT shop, CAST(qty AS BIGINT) FROM sales WHERE qty > 2;
