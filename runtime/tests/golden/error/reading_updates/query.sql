CREATE TABLE moves (id INT, place STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, place STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, place FROM moves;
