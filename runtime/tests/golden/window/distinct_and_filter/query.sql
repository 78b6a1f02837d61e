CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE totals (window_start TIMESTAMP(3), item STRING, prices BIGINT, cheap BIGINT, cheap_prices BIGINT, cheap_total INT, distinct_total INT, highest_cheap INT);
INSERT INTO totals SELECT window_start, item, COUNT(DISTINCT price), COUNT(*) FILTER (WHERE price < 5), COUNT(DISTINCT price) FILTER (WHERE price < 5), SUM(price) FILTER (WHERE price < 5), SUM(DISTINCT price), MAX(price) FILTER (WHERE price < 0)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item;
