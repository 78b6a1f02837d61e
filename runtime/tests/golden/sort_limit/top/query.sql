CREATE TABLE sales (shop STRING, product STRING, amount INT);
CREATE TABLE cheap (product STRING, amount INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE behind (product STRING, amount INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE totals (shop STRING, total BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO cheap SELECT product, amount FROM sales ORDER BY amount, product LIMIT 5;
INSERT INTO behind SELECT product, amount FROM sales ORDER BY amount DESC, product LIMIT 4 OFFSET 3;
INSERT INTO totals SELECT shop, SUM(amount) AS total FROM sales GROUP BY shop ORDER BY total DESC, shop LIMIT 2;
