CREATE TABLE trips (ts TIMESTAMP(3), driver STRING, km INT, fare DECIMAL(8, 2), WATERMARK FOR ts AS ts - INTERVAL '20' SECOND);
CREATE TABLE results (ts TIMESTAMP(3), driver STRING, km INT, n BIGINT, total INT, low INT, high INT, mean INT);
INSERT INTO results SELECT ts, driver, km, COUNT(*) OVER w, SUM(km) OVER w, MIN(km) OVER w, MAX(km) OVER w, AVG(km) OVER w FROM trips WINDOW w AS (PARTITION BY driver, fare ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW);
