CREATE TABLE log (id INT, op STRING, name STRING, n INT);
CREATE TABLE results (id INT, name STRING, n INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT 1, op, MAX(id) FROM FROM_CHANGELOG(input => (SELECT op, MAX(id) AS id, 'x' AS name FROM log GROUP BY op), op => DESCRIPTOR(name)) GROUP BY op;
