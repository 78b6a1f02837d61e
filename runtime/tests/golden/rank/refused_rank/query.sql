CREATE TABLE sales (shop STRING, amount INT);
CREATE TABLE best (shop STRING, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO best SELECT shop, amount FROM (
  SELECT *, RANK() OVER (PARTITION BY shop ORDER BY amount) AS place FROM sales
) WHERE place <= 2;
