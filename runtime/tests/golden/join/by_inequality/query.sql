CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (ka INT, va STRING, kc INT, vc STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.k, a.v, c.k, c.v FROM a JOIN c ON a.k > c.k OR a.v = 'a0';
