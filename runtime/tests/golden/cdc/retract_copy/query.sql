CREATE TABLE moves (id INT, place STRING, weight INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, place STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, place FROM moves WHERE weight > 1;
