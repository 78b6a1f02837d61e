CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (a INT, b INT);
INSERT INTO results SELECT * FROM vans MATCH_RECOGNIZE (
  ORDER BY ts, id
  MEASURES A.id AS a, B.id AS b
  PATTERN (A B)
  DEFINE A AS A.van = 'v1', B AS B.van = 'v2'
);
