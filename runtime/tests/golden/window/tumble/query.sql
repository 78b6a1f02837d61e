CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), item STRING, n BIGINT, priced BIGINT, total INT, low INT, high INT, mean INT);
INSERT INTO totals SELECT window_start, window_end, item, COUNT(*), COUNT(price), SUM(price), MIN(price), MAX(price), AVG(price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item;
