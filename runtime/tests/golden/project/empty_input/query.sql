CREATE TABLE sales (ts TIMESTAMP(3), shop STRING, qty INT, WATERMARK FOR ts AS ts);
CREATE TABLE rest (shop STRING, qty INT);
CREATE TABLE totals (shop STRING, total INT, PRIMARY KEY (shop) NOT ENFORCED);
CREATE TABLE minutes (window_start TIMESTAMP(3), n BIGINT);
INSERT INTO rest SELECT shop, qty FROM sales;
INSERT INTO totals SELECT shop, SUM(qty) FROM sales GROUP BY shop;
INSERT INTO minutes SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE sales, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
