CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), item STRING, n BIGINT, total INT);
INSERT INTO totals SELECT window_start, window_end, item, COUNT(*), SUM(price) FROM (SELECT * FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND) WHERE EXTRACT(SECOND FROM window_start) <> 5) GROUP BY window_start, window_end, item;
INSERT INTO totals SELECT window_start, window_end, UPPER(item), COUNT(*), SUM(price) FROM (SELECT * FROM CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND) WHERE price > EXTRACT(SECOND FROM window_end) - 18) GROUP BY window_start, window_end, item;
