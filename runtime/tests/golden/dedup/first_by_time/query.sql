CREATE TABLE readings (sensor STRING, reading INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE firsts (sensor STRING, reading INT, ts TIMESTAMP(3));
INSERT INTO firsts SELECT sensor, reading, ts FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY ts) AS n FROM readings
) WHERE n = 1;
