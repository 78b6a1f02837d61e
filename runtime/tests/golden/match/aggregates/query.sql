CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, n BIGINT, n_speed BIGINT, all_rows BIGINT, total INT, mean INT, lo INT, hi INT, nothing INT, no_rows BIGINT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES COUNT(A.id) AS n, COUNT(A.speed) AS n_speed, COUNT(*) AS all_rows, SUM(A.speed) AS total, AVG(A.speed) AS mean, MIN(A.speed) AS lo, MAX(speed) AS hi, SUM(B.speed) AS nothing, COUNT(B.id) AS no_rows
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A{2} B? C)
  DEFINE A AS A.state <> 'load', B AS B.state = 'none', C AS C.state = 'load'
);
