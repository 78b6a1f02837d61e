CREATE TABLE moves (k INT, v INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE totals (k INT, n BIGINT, total INT, texts STRING, values_of ARRAY<INT>) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT k, COUNT(*), SUM(v), LISTAGG(CAST(v AS STRING)), ARRAY_AGG(v) FROM moves GROUP BY k;
