CREATE TABLE clicks (u STRING, page STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE counts (ws TIMESTAMP(3), we TIMESTAMP(3), u STRING, s BIGINT, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO counts SELECT window_start, window_end, u, GROUPING_ID(window_start, window_end, u), COUNT(*) FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY GROUPING SETS ((window_start, window_end), (window_start, u), ());
