CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, first_id INT, last_id INT, n BIGINT, b INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES FIRST(A.id) AS first_id, LAST(A.id) AS last_id, COUNT(A.id) AS n, B.id AS b
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B)
  DEFINE A AS A.state <> 'load', B AS B.state <> 'drive'
);
