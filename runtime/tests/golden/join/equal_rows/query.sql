CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE r (va STRING, vb STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.v, b.v FROM a JOIN b ON a.k = b.k;
