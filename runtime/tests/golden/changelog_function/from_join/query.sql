CREATE TABLE log (id INT, op STRING, name STRING, n INT);
CREATE TABLE pets (owner INT, pet STRING);
CREATE TABLE results (id INT, name STRING, pet STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT l.id, l.name, p.pet FROM FROM_CHANGELOG(input => TABLE log) AS l LEFT JOIN pets AS p ON l.id = p.owner;
