CREATE TABLE trips (ts TIMESTAMP(3), driver STRING, km INT, fare DECIMAL(8, 2), WATERMARK FOR ts AS ts - INTERVAL '20' SECOND);
CREATE TABLE results (ts TIMESTAMP(3), driver STRING, lag1 INT);
INSERT INTO results SELECT ts, driver, LAG(km) OVER (PARTITION BY driver ORDER BY ts) FROM trips;
