CREATE TABLE readings (sensor STRING, reading INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE sorted_rows (sensor STRING, reading INT, ts TIMESTAMP(3));
INSERT INTO sorted_rows SELECT sensor, reading, ts FROM readings ORDER BY ts, reading DESC;
