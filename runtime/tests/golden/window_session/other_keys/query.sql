CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), big BOOLEAN, n BIGINT, PRIMARY KEY (window_start, window_end, big) NOT ENFORCED);
INSERT INTO totals SELECT window_start, window_end, n > 10 AS big, COUNT(*) FROM SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '10' SECOND) WHERE n IS NOT NULL GROUP BY window_start, window_end, n > 10;
