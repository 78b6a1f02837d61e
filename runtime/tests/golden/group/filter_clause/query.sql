CREATE TABLE sales (shop STRING, item STRING, qty INT, price DOUBLE);
CREATE TABLE totals (shop STRING, xs BIGINT, x_total INT, dear BIGINT, n BIGINT, PRIMARY KEY (shop) NOT ENFORCED);
INSERT INTO totals SELECT shop, COUNT(*) FILTER (WHERE item = 'x'), SUM(qty) FILTER (WHERE item = 'x'), COUNT(price) FILTER (WHERE price > 5 AND item <> 'z'), COUNT(*) FROM sales GROUP BY shop;
