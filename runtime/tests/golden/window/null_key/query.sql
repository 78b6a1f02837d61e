CREATE TABLE bids (ts TIMESTAMP(3), item STRING, grade INT, price DECIMAL(10, 2), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE totals (window_start TIMESTAMP(3), item STRING, grade INT, n BIGINT, total DECIMAL(38, 2));
INSERT INTO totals SELECT window_start, item, grade, COUNT(*), SUM(price) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item, grade;
