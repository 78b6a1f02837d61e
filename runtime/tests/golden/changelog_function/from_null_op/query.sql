CREATE TABLE log (id INT, op STRING, name STRING, n INT);
CREATE TABLE results (id INT, name STRING, n INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT * FROM FROM_CHANGELOG(input => TABLE log);
