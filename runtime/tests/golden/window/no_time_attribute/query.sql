CREATE TABLE bids (ts TIMESTAMP(3), price INT);
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT);
INSERT INTO totals SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '7' SECOND)) GROUP BY window_start, window_end;
