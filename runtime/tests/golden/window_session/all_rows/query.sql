CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE sessions (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT, total INT);
INSERT INTO sessions SELECT window_start, window_end, COUNT(*), SUM(n) FROM SESSION(TABLE clicks, DESCRIPTOR(ts), INTERVAL '8' SECOND) GROUP BY window_start, window_end;
