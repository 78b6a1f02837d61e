CREATE TABLE trips (driver STRING, km INT, fare INT);
CREATE TABLE results (driver STRING, km INT, fare INT, r BIGINT, d BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT driver, km, fare, RANK() OVER w, DENSE_RANK() OVER w FROM trips WINDOW w AS (PARTITION BY driver ORDER BY km);
