CREATE TABLE log (id INT, kind CHAR(1), name STRING, n INT);
CREATE TABLE results (id INT, name STRING, n INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT * FROM FROM_CHANGELOG(input => TABLE log, op => DESCRIPTOR(kind), op_mapping => MAP['c, r', 'INSERT', ' b ', 'UPDATE_BEFORE', 'a', ' UPDATE_AFTER', 'd', 'DELETE']);
