CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, a INT, b INT, c INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES FIRST(A.id) AS a, FIRST(B.id) AS b, C.id AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B+ C)
  DEFINE A AS A.state = 'stop', B AS B.speed > A.speed, C AS C.state = 'load' AND C.speed > LAST(B.speed)
);
