CREATE TABLE times (k INT, x DOUBLE, w INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE marks (k INT, med DOUBLE, weighted DOUBLE, many ARRAY<DOUBLE>, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO marks SELECT k, PERCENTILE(x, 0.5), PERCENTILE(x, 0.6, w), PERCENTILE(x, ARRAY[0.2, 0.8]) FROM times GROUP BY k;
