CREATE TABLE trips (ts TIMESTAMP(3), driver STRING, km INT, fare DECIMAL(8, 2), WATERMARK FOR ts AS ts - INTERVAL '20' SECOND);
CREATE TABLE results (ts TIMESTAMP(3), driver STRING, km INT, lag1 INT, lag3 INT, other INT);
INSERT INTO results SELECT ts, driver, km, LAG(km) OVER w, LAG(km, 3) OVER w, LAG(km, 2, CAST(-1 AS INT)) OVER w FROM trips WINDOW w AS (PARTITION BY driver ORDER BY ts);
