CREATE TABLE trips (ts TIMESTAMP(3), driver STRING, km INT, fare DECIMAL(8, 2), WATERMARK FOR ts AS ts - INTERVAL '20' SECOND);
CREATE TABLE results (x BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT CAST(NTILE(2) OVER (PARTITION BY driver ORDER BY ts) AS BIGINT) FROM trips;
