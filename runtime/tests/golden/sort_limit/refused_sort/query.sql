CREATE TABLE sales (shop STRING, amount INT);
CREATE TABLE sorted_rows (shop STRING, amount INT);
INSERT INTO sorted_rows SELECT shop, amount FROM sales ORDER BY amount;
