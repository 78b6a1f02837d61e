CREATE TABLE orders (id INT, item STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE payments (id INT, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE paid (id INT, item STRING, amount INT, ordered TIMESTAMP(3), paid TIMESTAMP(3));
INSERT INTO paid SELECT o.id, o.item, p.amount, o.ts, CAST(p.ts AS TIMESTAMP(3)) FROM orders AS o JOIN payments AS p ON o.id = p.id AND p.ts BETWEEN o.ts - INTERVAL '2' SECOND AND o.ts + INTERVAL '10' SECOND;
