CREATE TABLE readings (sensor STRING, reading INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE lasts (sensor STRING, reading INT, ts TIMESTAMP(3)) WITH ('changelog.mode' = 'retract');
INSERT INTO lasts SELECT sensor, reading, ts FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY ts DESC) AS n FROM readings
) WHERE n = 1;
