CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE placed (slide STRING, item STRING, price INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), window_time TIMESTAMP(3));
INSERT INTO placed SELECT '3 s', item, price, window_start, window_end, window_time FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '10' SECOND);
INSERT INTO placed SELECT '20 s', item, price, window_start, window_end, window_time FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '10' SECOND);
