CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, va STRING, vb STRING, vc STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.k, a.v, b.v, c.v FROM a JOIN b ON a.k = b.k JOIN c ON b.k = c.k;
