CREATE TABLE sales (shop STRING, product STRING, amount INT);
CREATE TABLE smallest (shop STRING, product STRING, amount INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE largest (shop STRING, product STRING, amount INT, place BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO smallest SELECT shop, product, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount) AS place FROM sales
) WHERE place <= 2;
INSERT INTO largest SELECT shop, product, amount, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount DESC) AS place FROM sales
) WHERE place <= 3;
