CREATE TABLE orders (id INT, currency STRING, bank INT, tier INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE rates (bank INT, currency STRING, rate INT, tier INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND, PRIMARY KEY (currency, bank) NOT ENFORCED);
CREATE TABLE converted (id INT, rate INT, tier INT);
CREATE TABLE of_tier (id INT, rate INT, tier INT);
INSERT INTO converted SELECT o.id, r.rate, r.tier FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND o.bank = r.bank;
INSERT INTO of_tier SELECT o.id, r.rate, r.tier FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND o.bank = r.bank AND o.tier = r.tier;
