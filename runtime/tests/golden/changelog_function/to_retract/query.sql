CREATE TABLE flights (id INT, gate STRING, seats INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (op STRING, id INT, gate STRING, seats INT);
INSERT INTO results SELECT * FROM TO_CHANGELOG(input => TABLE flights);
