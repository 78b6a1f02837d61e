CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE counted (way STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), ends BIGINT, latest TIMESTAMP(3), total INT);
INSERT INTO counted SELECT 'TUMBLE', window_start, window_end, COUNT(window_end), MAX(window_start), SUM(price) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '7' SECOND)) GROUP BY window_start, window_end;
INSERT INTO counted SELECT 'HOP', window_start, window_end, COUNT(*) FILTER (WHERE window_end > ts), MIN(window_end), SUM(price) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
INSERT INTO counted SELECT 'CUMULATE', window_start, window_end, COUNT(DISTINCT window_start), MAX(window_time), SUM(price) FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
