CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (van STRING, a INT, b INT);
CREATE VIEW now AS SELECT van, id, state, PROCTIME() AS p FROM vans;
INSERT INTO results SELECT * FROM now MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY p
  MEASURES A.id AS a, B.id AS b
  PATTERN (A X*? B)
  DEFINE A AS A.state = 'stop', B AS B.state = 'load'
);
