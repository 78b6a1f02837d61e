CREATE TABLE orders (id INT, currency STRING, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE rates (currency STRING, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND, PRIMARY KEY (currency) NOT ENFORCED);
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, total INT);
CREATE VIEW converted AS SELECT o.amount * r.rate AS total, o.ts FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency WHERE r.rate IS NULL OR r.rate <> 110;
INSERT INTO totals SELECT window_start, COUNT(*), SUM(total) FROM TABLE(TUMBLE(TABLE converted, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
