CREATE TABLE players (id INT, team STRING, score INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, team STRING, score INT, earlier INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, team, score, LAG(score) OVER (PARTITION BY team ORDER BY id) FROM players;
