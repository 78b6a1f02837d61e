CREATE TABLE players (id INT, team STRING, score INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, team STRING, score INT, r BIGINT, d BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, team, score, RANK() OVER w, DENSE_RANK() OVER w FROM players WINDOW w AS (PARTITION BY team ORDER BY score);
