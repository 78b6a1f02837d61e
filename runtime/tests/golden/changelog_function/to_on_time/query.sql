CREATE TABLE clicks (u STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);
CREATE TABLE results (w TIMESTAMP(3), op STRING, n BIGINT, total INT);
INSERT INTO results SELECT window_start, op, COUNT(*), SUM(v)
FROM TUMBLE((SELECT * FROM TO_CHANGELOG(input => TABLE clicks, on_time => DESCRIPTOR(ts))), DESCRIPTOR(rowtime), INTERVAL '5' SECOND)
GROUP BY window_start, window_end, op;
