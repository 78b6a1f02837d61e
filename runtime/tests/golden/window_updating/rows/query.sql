CREATE TABLE orders (id INT, ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE) WITH ('changelog.mode' = 'retract');
CREATE TABLE placed (id INT, price INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3)) WITH ('changelog.mode' = 'retract');
INSERT INTO placed SELECT id, price, window_start, window_end FROM HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND);
