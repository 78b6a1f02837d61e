SET 'sql.tables.scan.idle-timeout' = '20 ms';
CREATE TABLE bids (ts TIMESTAMP(3), n INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, total INT);
INSERT INTO totals SELECT window_start, COUNT(*), SUM(n) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
