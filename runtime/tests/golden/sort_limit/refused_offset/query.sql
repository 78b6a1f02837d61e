CREATE TABLE sales (shop STRING, amount INT);
CREATE TABLE rest (shop STRING, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO rest SELECT shop, amount FROM sales ORDER BY amount OFFSET 2;
