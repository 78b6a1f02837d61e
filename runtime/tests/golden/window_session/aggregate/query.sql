CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE sessions (window_start TIMESTAMP(3), window_end TIMESTAMP(3), wt TIMESTAMP(3), who STRING, rows_n BIGINT, numbers BIGINT, total INT, low INT);
INSERT INTO sessions SELECT window_start, window_end, window_time, who, COUNT(*), COUNT(DISTINCT n), SUM(n), MIN(n) FROM SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, window_time, who;
