CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, state STRING, a INT, b INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van, state ORDER BY ts
  MEASURES A.id AS a, B.id AS b
  PATTERN (A B)
  DEFINE B AS B.speed IS NULL OR B.speed > A.speed
);
