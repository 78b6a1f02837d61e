CREATE TABLE trips (id INT, driver STRING, km INT, fare INT);
CREATE TABLE results (driver STRING, km INT, fare INT, n BIGINT, total INT, high INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT driver, km, fare, COUNT(*) OVER w, SUM(fare) OVER w, MAX(fare) OVER w FROM trips WINDOW w AS (PARTITION BY driver ORDER BY km ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
