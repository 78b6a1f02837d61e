CREATE TABLE orders (id INT, price DECIMAL(10, 2), qty INT, millis BIGINT, total AS price * qty, ts AS TO_TIMESTAMP_LTZ(millis, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);
CREATE TABLE results (id INT, total DECIMAL(20, 2), ts TIMESTAMP_LTZ(3));
CREATE TABLE sums (window_start TIMESTAMP(3), parity INT, total DECIMAL(38, 2));
INSERT INTO results SELECT id, total, ts FROM orders WHERE total > 10;
INSERT INTO sums SELECT window_start, id % 2, SUM(total) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, id % 2;
