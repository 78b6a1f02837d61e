CREATE TABLE sales (shop STRING, item STRING, qty INT, price DOUBLE);
CREATE TABLE totals (class STRING, shops STRING, mean DOUBLE) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT CASE WHEN qty > 2 THEN 'many' WHEN qty IS NULL THEN 'unknown' ELSE 'few' END, UPPER(MIN(shop)) || '-' || UPPER(MAX(shop)), SUM(qty * 2) / CAST(COUNT(*) AS DOUBLE) + 1 FROM sales GROUP BY CASE WHEN qty > 2 THEN 'many' WHEN qty IS NULL THEN 'unknown' ELSE 'few' END;
