CREATE TABLE sales (shop STRING, qty INT);
CREATE TABLE totals (shop STRING, n BIGINT, PRIMARY KEY (shop) NOT ENFORCED) WITH ('value.fields-include' = 'all');
INSERT INTO totals SELECT shop, COUNT(*) FROM sales GROUP BY shop;
