CREATE TABLE clicks (u STRING, page STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE counts (ws TIMESTAMP(3), we TIMESTAMP(3), u STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO counts SELECT ws, we, u, SUM(n) FROM (SELECT window_start AS ws, window_end AS we, u, page, COUNT(*) AS n FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, u, page) GROUP BY CUBE (ws, we, u);
