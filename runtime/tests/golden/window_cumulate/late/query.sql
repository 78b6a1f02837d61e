CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), item STRING, n BIGINT, total INT);
INSERT INTO totals SELECT window_start, window_end, item, COUNT(*), SUM(price) FROM CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND) GROUP BY window_start, window_end, item;
