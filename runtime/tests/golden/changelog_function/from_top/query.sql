CREATE TABLE log (id INT, op STRING, name STRING, n INT);
CREATE TABLE results (id INT, n INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n DESC) AS place FROM FROM_CHANGELOG(input => TABLE log)) WHERE place <= 2;
