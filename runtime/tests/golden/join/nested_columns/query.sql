CREATE TABLE a (k INT, xs ARRAY<INT>, m MAP<STRING, INT>);
CREATE TABLE b (k INT, r ROW<x INT, y STRING>);
CREATE TABLE o (k INT, xs ARRAY<INT>, m MAP<STRING, INT>, kb INT, r ROW<x INT, y STRING>) WITH ('changelog.mode' = 'retract');
INSERT INTO o SELECT a.k, xs, m, b.k, r FROM a FULL JOIN b ON a.k = b.k;
