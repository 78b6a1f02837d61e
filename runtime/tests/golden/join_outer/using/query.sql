CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, va STRING, vb STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, a.v, b.v FROM a FULL JOIN b USING (k);
