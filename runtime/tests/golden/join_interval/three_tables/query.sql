CREATE TABLE orders (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND);
CREATE TABLE payments (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND);
CREATE TABLE parcels (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND);
CREATE TABLE sent (ordered INT, paid INT, sent INT);
INSERT INTO sent SELECT o.id, p.id, s.id FROM orders AS o LEFT JOIN payments AS p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '6' SECOND LEFT JOIN parcels AS s ON o.id = s.id AND s.ts BETWEEN o.ts + INTERVAL '1' SECOND AND o.ts + INTERVAL '20' SECOND;
