CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, va STRING, vb STRING, vc STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.k, a.v, b.v, c.v FROM a, b, c WHERE a.k = b.k AND c.k < b.k AND c.v <> 'c3';
