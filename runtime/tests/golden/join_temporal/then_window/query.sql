CREATE TABLE orders (id INT, currency STRING, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE history (currency STRING, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE VIEW rates AS SELECT currency, rate, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY currency ORDER BY ts DESC) AS n FROM history) WHERE n = 1;
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT, total INT);
CREATE VIEW converted AS SELECT o.amount * r.rate AS total, o.ts FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
INSERT INTO totals SELECT window_start, COUNT(*), SUM(total) FROM TABLE(TUMBLE(TABLE converted, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
