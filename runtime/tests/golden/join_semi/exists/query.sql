CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, v STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, v FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.v <> 'b1');
