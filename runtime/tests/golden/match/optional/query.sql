CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, a INT, b INT, c INT, d INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES A.id AS a, B.id AS b, C.id AS c, D.id AS d
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B? C{0,2} D)
  DEFINE A AS A.state = 'drive', B AS B.state = 'stop', C AS C.state = 'load', D AS D.state <> 'load'
);
