CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (shift STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT);
INSERT INTO totals SELECT '7 s', window_start, window_end, COUNT(*) FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND, INTERVAL '7' SECOND) GROUP BY window_start, window_end;
INSERT INTO totals SELECT '-3 s', window_start, window_end, COUNT(*) FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND, INTERVAL -'3' SECOND) GROUP BY window_start, window_end;
