CREATE TABLE sales (shop STRING, product STRING, amount INT);
CREATE TABLE best (product STRING, total BIGINT) WITH ('changelog.mode' = 'retract');
CREATE TABLE worst (shop STRING, total BIGINT, place BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO best SELECT product, total FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total DESC, product) AS place FROM (
    SELECT product, SUM(amount) AS total FROM sales GROUP BY product)
) WHERE place <= 3;
INSERT INTO worst SELECT shop, total, place FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total, shop) AS place FROM (
    SELECT shop, COUNT(amount) AS total FROM sales GROUP BY shop)
) WHERE place <= 2;
