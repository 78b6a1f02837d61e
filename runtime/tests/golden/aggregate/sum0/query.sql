CREATE TABLE sales (k INT, i INT, d DECIMAL(6, 2), x DOUBLE) WITH ('changelog.mode' = 'retract');
CREATE TABLE totals (k INT, i INT, d STRING, x DOUBLE, di INT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO totals SELECT k, $SUM0(i), CAST($SUM0(d) AS STRING), $SUM0(x), $SUM0(DISTINCT i) FILTER (WHERE i > 1) FROM sales GROUP BY k;
