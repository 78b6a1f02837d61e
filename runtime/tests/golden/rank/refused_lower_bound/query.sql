CREATE TABLE sales (shop STRING, amount INT);
CREATE TABLE rest (shop STRING, amount INT) WITH ('changelog.mode' = 'retract');
INSERT INTO rest SELECT shop, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY shop ORDER BY amount) AS place FROM sales
) WHERE place > 2;
