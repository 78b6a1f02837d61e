CREATE TABLE orders (id INT, item STRING, price INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE payments (id INT, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE paid (id INT, item STRING, payment INT, amount INT, ordered TIMESTAMP(3), paid TIMESTAMP(3));
INSERT INTO paid SELECT o.id, o.item, p.id, p.amount, CAST(o.ts AS TIMESTAMP(3)), CAST(p.ts AS TIMESTAMP(3)) FROM orders AS o RIGHT JOIN payments AS p ON o.id = p.id AND o.price <= p.amount AND o.ts >= p.ts - INTERVAL '10' SECOND AND o.ts < p.ts + INTERVAL '2' SECOND;
