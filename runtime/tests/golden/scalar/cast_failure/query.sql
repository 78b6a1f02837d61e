CREATE TABLE texts (id INT, t STRING);
CREATE TABLE results (id INT, i INT);
INSERT INTO results SELECT id, CAST(t AS INT) FROM texts;
