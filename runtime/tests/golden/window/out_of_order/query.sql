CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR);
CREATE TABLE totals (window_start TIMESTAMP(3), item STRING, n BIGINT, total INT, PRIMARY KEY (window_start, item) NOT ENFORCED);
INSERT INTO totals SELECT window_start, item, COUNT(*), SUM(price) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item;
