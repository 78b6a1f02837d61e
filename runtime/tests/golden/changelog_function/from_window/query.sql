CREATE TABLE log (op STRING, u STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);
CREATE TABLE results (w TIMESTAMP(3), u STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT window_start, u, COUNT(*) FROM TUMBLE((SELECT * FROM FROM_CHANGELOG(input => TABLE log)), DESCRIPTOR(ts), INTERVAL '5' SECOND) GROUP BY window_start, window_end, u;
