CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE best (item STRING, windows BIGINT, best INT, PRIMARY KEY (item) NOT ENFORCED);
INSERT INTO best SELECT item, COUNT(*), MAX(total) FROM (SELECT item, SUM(price) AS total FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item) GROUP BY item;
