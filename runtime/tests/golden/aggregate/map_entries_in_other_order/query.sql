CREATE TABLE points (id INT, x INT, y INT);
CREATE TABLE counts (n BIGINT, first_id INT) WITH ('changelog.mode' = 'retract');
INSERT INTO counts SELECT COUNT(*), MIN(id) FROM (SELECT id, CASE WHEN id < 3 THEN MAP['x', x, 'y', y] ELSE MAP['y', y, 'x', x] END AS m FROM points) GROUP BY m;
