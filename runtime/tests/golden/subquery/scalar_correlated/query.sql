CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, n BIGINT, m STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, (SELECT COUNT(*) FROM c WHERE c.k = a.k), (SELECT MAX(v) FROM c WHERE c.k = a.k) FROM a;
