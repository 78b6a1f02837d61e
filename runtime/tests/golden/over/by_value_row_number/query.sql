CREATE TABLE players (id INT, team STRING, score INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, team STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, team, ROW_NUMBER() OVER (PARTITION BY team ORDER BY id) FROM players;
