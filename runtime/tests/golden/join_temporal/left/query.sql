CREATE TABLE orders (id INT, currency STRING, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE rates (currency STRING, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND, PRIMARY KEY (currency) NOT ENFORCED);
CREATE TABLE converted (id INT, amount INT, rate INT, rated TIMESTAMP(3));
INSERT INTO converted SELECT o.id, o.amount, r.rate, CAST(r.ts AS TIMESTAMP(3)) FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND r.rate <> 110 AND o.amount < 10;
