CREATE TABLE orders (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE TABLE payments (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND);
CREATE VIEW met AS SELECT o.id AS ordered, p.id AS paid, o.ts FROM orders AS o LEFT JOIN payments AS p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '15' SECOND;
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, paid BIGINT);
INSERT INTO totals SELECT window_start, COUNT(ordered), COUNT(paid) FROM TABLE(TUMBLE(TABLE met, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end;
