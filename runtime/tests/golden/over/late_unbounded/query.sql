CREATE TABLE trips (ts TIMESTAMP(3), driver STRING, km INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE results (ts TIMESTAMP(3), driver STRING, km INT, total INT);
INSERT INTO results SELECT ts, driver, km, SUM(km) OVER (PARTITION BY driver ORDER BY ts) FROM trips;
