CREATE TABLE moves (id INT, place STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE more (id INT, place STRING);
CREATE TABLE places (place STRING, n BIGINT, first_id INT, PRIMARY KEY (place) NOT ENFORCED);
INSERT INTO places SELECT place, COUNT(*), MIN(id) FROM (SELECT id, place FROM moves WHERE place <> 'c' UNION ALL SELECT id, place FROM more) GROUP BY place;
