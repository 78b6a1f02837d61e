CREATE TABLE trips (driver STRING, km INT, fare INT);
CREATE TABLE results (driver STRING, km INT, total INT, so_far INT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT driver, km, total, SUM(total) OVER (PARTITION BY driver ORDER BY km) FROM (SELECT driver, km, SUM(fare) AS total FROM trips GROUP BY driver, km);
