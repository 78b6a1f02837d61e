CREATE TABLE vans (van STRING, id INT, speed INT, state STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE results (v STRING, slow INT, fast INT, gain INT);
INSERT INTO results SELECT UPPER(T.van), slow, fast, fast - slow FROM (SELECT van, ts, COALESCE(speed, 0) + 1 AS s FROM vans WHERE state <> 'load') MATCH_RECOGNIZE (
  PARTITION BY van ORDER BY ts
  MEASURES A.s AS slow, LAST(B.s) AS fast
  PATTERN (A B{1,2}?)
  DEFINE B AS B.s > A.s + 5
) AS T WHERE fast - slow > 10;
