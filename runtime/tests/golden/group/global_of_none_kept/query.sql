CREATE TABLE sales (shop STRING, qty INT);
CREATE TABLE totals (n BIGINT, total INT) WITH ('changelog.mode' = 'retract');
INSERT INTO totals SELECT COUNT(*), SUM(qty) FROM sales WHERE qty > 100;
