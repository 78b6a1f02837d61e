CREATE TABLE players (id INT, team STRING, score INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, team STRING, score INT, n BIGINT, total INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, team, score, COUNT(*) OVER w, SUM(score) OVER w FROM players WINDOW w AS (PARTITION BY team ORDER BY score);
