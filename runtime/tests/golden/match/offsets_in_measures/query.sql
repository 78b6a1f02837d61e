CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, p INT, q INT, r INT, s INT, t INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES LAST(A.id, 1) AS p, FIRST(A.id, 2) AS q, LAST(COALESCE(A.speed, -1), 5) AS r, COALESCE(LAST(A.speed, 5), -2) AS s, FIRST(A.speed + A.id, 1) AS t
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A{1,3} B)
  DEFINE A AS A.state = 'drive', B AS B.state <> 'drive'
);
