CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE totals (shift STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT);
INSERT INTO totals SELECT '3 s', window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND)) GROUP BY window_start, window_end;
INSERT INTO totals SELECT '-3 s', window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL -'3' SECOND)) GROUP BY window_start, window_end;
