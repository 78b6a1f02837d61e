CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE placed (item STRING, price INT, ts TIMESTAMP(3), window_start TIMESTAMP(3), window_end TIMESTAMP(3), window_time TIMESTAMP(3));
INSERT INTO placed SELECT item, price, CAST(ts AS TIMESTAMP(3)), window_start, window_end, window_time FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '7' SECOND)) WHERE item <> 'b' OR price IS NULL;
