CREATE TABLE flights (id INT, gate STRING, seats INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, gate STRING, seats INT) WITH ('changelog.mode' = 'retract');
CREATE VIEW changes AS SELECT * FROM TO_CHANGELOG(input => TABLE flights, op => DESCRIPTOR(kind));
INSERT INTO results SELECT * FROM FROM_CHANGELOG(input => TABLE changes, op => DESCRIPTOR(kind));
