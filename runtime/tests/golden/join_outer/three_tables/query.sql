CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (ka INT, va STRING, kb INT, vb STRING, kc INT, vc STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.k, a.v, b.k, b.v, c.k, c.v FROM a FULL JOIN b ON a.k = b.k LEFT JOIN c ON COALESCE(a.k, b.k) = c.k;
