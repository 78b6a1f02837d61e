CREATE TABLE moves (id INT, place STRING, level INT);
CREATE TABLE places (place STRING, level INT, n BIGINT, ids BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO places SELECT place, level, COUNT(*), SUM(CAST(id AS BIGINT)) FROM (SELECT id, LAST_VALUE(place) AS place, MAX(level) AS level FROM moves GROUP BY id) GROUP BY GROUPING SETS ((place, level), (place), ());
