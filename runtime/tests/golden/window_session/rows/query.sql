CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE placed (who STRING, n INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), wt TIMESTAMP(3));
INSERT INTO placed SELECT who, n, window_start, window_end, window_time FROM SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '10' SECOND) WHERE n IS NULL OR n > 1;
