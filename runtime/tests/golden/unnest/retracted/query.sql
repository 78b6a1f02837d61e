CREATE TABLE t (k INT, xs ARRAY<STRING>) WITH ('changelog.mode' = 'retract');
CREATE TABLE r (k INT, x STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, x FROM t CROSS JOIN UNNEST(xs) AS u (x);
