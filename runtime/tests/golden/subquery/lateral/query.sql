CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, w STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.k, l.w FROM a, LATERAL (SELECT v AS w FROM c WHERE c.k = a.k) AS l;
