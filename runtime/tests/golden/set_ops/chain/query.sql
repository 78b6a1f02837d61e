CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k FROM a EXCEPT SELECT k FROM b INTERSECT SELECT k FROM c EXCEPT SELECT CAST(NULL AS INT);
