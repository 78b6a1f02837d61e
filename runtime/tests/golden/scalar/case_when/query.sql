CREATE TABLE orders (id INT, amount DECIMAL(10, 2), state STRING);
CREATE TABLE results (id INT, class STRING, code INT, fee DECIMAL(13, 3));
INSERT INTO results SELECT id,
  CASE WHEN amount >= 100 THEN 'large' WHEN amount >= 10 THEN 'medium' WHEN amount IS NULL THEN 'unknown' ELSE 'small' END,
  CASE state WHEN 'new' THEN 1 WHEN 'paid' THEN 2 END,
  CASE WHEN state = 'paid' THEN amount WHEN state = 'new' THEN 0.125 ELSE 1 END
FROM orders;
