CREATE TABLE sales (shop STRING, item STRING, qty INT, price DOUBLE);
CREATE TABLE totals (shop STRING, items BIGINT, qtys BIGINT, qty_total INT, big_items BIGINT, n BIGINT, PRIMARY KEY (shop) NOT ENFORCED);
INSERT INTO totals SELECT shop, COUNT(DISTINCT item), COUNT(DISTINCT qty), SUM(DISTINCT qty), COUNT(DISTINCT item) FILTER (WHERE qty > 1), COUNT(*) FROM sales GROUP BY shop;
