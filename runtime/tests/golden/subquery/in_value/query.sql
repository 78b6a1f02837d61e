CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, x BOOLEAN) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, k IN (SELECT k FROM c) FROM a;
