CREATE TABLE sales (shop STRING, product STRING, amount INT);
CREATE TABLE middle (shop STRING, product STRING, amount INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE numbered (shop STRING, product STRING, place BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO middle SELECT shop, product, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount, product DESC) AS place FROM sales
) WHERE place BETWEEN 2 AND 4;
INSERT INTO numbered SELECT shop, product, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY product) AS place FROM sales
) WHERE place > 2 AND place < 5 AND amount > 1;
