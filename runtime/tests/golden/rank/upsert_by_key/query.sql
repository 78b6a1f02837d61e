CREATE TABLE sales (shop STRING, product STRING, amount INT);
CREATE TABLE best (shop STRING, product STRING, amount INT, PRIMARY KEY (shop) NOT ENFORCED);
CREATE TABLE overall (shop STRING, product STRING, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO best SELECT shop, product, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount DESC, product) AS place FROM sales WHERE shop IS NOT NULL
) WHERE place = 1;
INSERT INTO overall SELECT shop, product, amount FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY amount, product) AS n FROM (
    SELECT shop, product, amount FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount DESC, product) AS place FROM sales
    ) WHERE place <= 2)
) WHERE n <= 3;
