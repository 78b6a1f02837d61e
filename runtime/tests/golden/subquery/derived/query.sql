CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, n BIGINT, m BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT x.k, x.n, y.n FROM (SELECT k, COUNT(*) AS n FROM a GROUP BY k) AS x LEFT JOIN (SELECT k, COUNT(*) AS n FROM c GROUP BY k) AS y ON x.k = y.k;
