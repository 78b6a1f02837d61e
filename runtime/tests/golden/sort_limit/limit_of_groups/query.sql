CREATE TABLE steps (id INT, total INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE some_rows (id INT, total INT) WITH ('changelog.mode' = 'retract');
INSERT INTO some_rows SELECT id, total FROM steps LIMIT 2;
