CREATE TABLE players (id INT, team STRING, score INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'retract');
CREATE TABLE by_team (id INT, team STRING, score INT, total INT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE by_id (id INT, team STRING, score INT, total INT, PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO by_team SELECT id, team, score, SUM(score) OVER (PARTITION BY team ORDER BY score) FROM players;
INSERT INTO by_id SELECT id, team, score, SUM(score) OVER (PARTITION BY id ORDER BY score) FROM players;
