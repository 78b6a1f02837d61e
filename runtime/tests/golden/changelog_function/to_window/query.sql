CREATE TABLE clicks (u STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (w TIMESTAMP(3), op STRING, n BIGINT);
INSERT INTO results SELECT window_start, op, COUNT(*)
FROM TUMBLE((SELECT * FROM TO_CHANGELOG(input => TABLE clicks)), DESCRIPTOR(ts), INTERVAL '5' SECOND)
GROUP BY window_start, window_end, op;
