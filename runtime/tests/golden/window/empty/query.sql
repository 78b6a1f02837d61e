CREATE TABLE bids (ts TIMESTAMP(3), price INT, WATERMARK FOR ts AS ts);
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, total INT);
INSERT INTO totals SELECT window_start, COUNT(*), SUM(price) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
