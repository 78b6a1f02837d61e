CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), item STRING, n BIGINT, prices BIGINT, total INT, low INT, high INT, mean INT);
INSERT INTO totals SELECT window_start, window_end, item, COUNT(*), COUNT(DISTINCT price), SUM(price), MIN(price), MAX(price), AVG(price)
FROM CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND) GROUP BY window_start, window_end, item;
