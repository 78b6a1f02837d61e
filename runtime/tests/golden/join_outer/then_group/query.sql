CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (v STRING, n BIGINT, m BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.v, COUNT(*), COUNT(c.v) FROM a LEFT JOIN c ON a.k = c.k GROUP BY a.v;
