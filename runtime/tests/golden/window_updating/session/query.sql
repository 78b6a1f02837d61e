CREATE TABLE orders (id INT, ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE) WITH ('changelog.mode' = 'retract');
CREATE TABLE totals (kind STRING, s TIMESTAMP(3), e TIMESTAMP(3), item STRING, n BIGINT, prices BIGINT, total INT, best INT);
INSERT INTO totals SELECT 'SESSION', window_start, window_end, item, COUNT(*), COUNT(DISTINCT price), SUM(price), MAX(price) FROM SESSION(TABLE orders PARTITION BY item, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, item;
