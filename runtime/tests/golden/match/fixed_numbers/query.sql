CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, a BIGINT, b BIGINT, c BIGINT, first_id INT, last_id INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES COUNT(A.id) AS a, COUNT(B.id) AS b, COUNT(C.id) AS c, FIRST(id) AS first_id, LAST(id) AS last_id
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A{2} B{1,2}? C{1,3}?)
  DEFINE A AS A.state <> 'load', B AS B.speed > 0
);
