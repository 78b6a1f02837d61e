CREATE TABLE orders (id INT, currency STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE rates (currency STRING, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND, PRIMARY KEY (currency) NOT ENFORCED) WITH ('changelog.mode' = 'retract');
CREATE TABLE converted (what STRING, number BIGINT, rate INT) WITH ('changelog.mode' = 'retract');
INSERT INTO converted SELECT 'order', o.id, r.rate FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency UNION ALL SELECT 'rate', COUNT(*), rate FROM rates GROUP BY rate;
