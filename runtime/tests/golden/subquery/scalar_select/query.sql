CREATE TABLE a (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE b (k INT, v STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE c (k INT, v STRING);
CREATE TABLE r (k INT, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT k, (SELECT COUNT(*) FROM c) FROM a;
