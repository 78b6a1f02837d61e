CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts);
CREATE TABLE sessions (window_start TIMESTAMP(3), window_end TIMESTAMP(3), who STRING, n BIGINT, total INT);
INSERT INTO sessions SELECT window_start, window_end, who, COUNT(*), SUM(n) FROM SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, who;
