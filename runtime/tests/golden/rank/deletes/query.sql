CREATE TABLE scores (id INT, team STRING, score INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE tops (team STRING, id INT, score INT, place BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO tops SELECT team, id, score, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY team ORDER BY score DESC) AS place FROM scores
) WHERE place <= 2;
