CREATE TABLE events (id INT, ts TIMESTAMP(3));
CREATE TABLE results (id INT, h BIGINT, mi BIGINT, s BIGINT, as_date DATE, as_time TIME(0), to_hour TIMESTAMP(3), to_day TIMESTAMP(3), up_day TIMESTAMP(3));
INSERT INTO results SELECT id, HOUR(ts), MINUTE(ts), SECOND(ts), CAST(ts AS DATE), CAST(ts AS TIME), FLOOR(ts TO HOUR), FLOOR(ts TO DAY), CEIL(ts TO DAY) FROM events;
