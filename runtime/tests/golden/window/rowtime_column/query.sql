CREATE TABLE bids (item STRING);
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, first_item STRING);
INSERT INTO totals SELECT window_start, COUNT(*), MIN(item) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR($rowtime), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
