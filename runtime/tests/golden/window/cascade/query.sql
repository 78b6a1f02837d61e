CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), windows BIGINT, best INT);
CREATE VIEW small AS SELECT window_time AS wt, item, MAX(price) AS best FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, window_time, item;
INSERT INTO totals SELECT window_start, window_end, COUNT(*), MAX(best) FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(wt), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
