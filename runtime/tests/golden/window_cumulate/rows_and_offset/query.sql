CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE placed (item STRING, price INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), window_time TIMESTAMP(3));
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT);
INSERT INTO placed SELECT item, price, window_start, window_end, window_time FROM CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND);
INSERT INTO totals SELECT window_start, window_end, COUNT(*) FROM CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND, INTERVAL '7' SECOND) GROUP BY window_start, window_end;
