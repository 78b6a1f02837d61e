CREATE TABLE web (id INT, amount INT, note STRING);
CREATE TABLE shop (id BIGINT, price DECIMAL(10, 2));
CREATE TABLE orders (id BIGINT, amount DECIMAL(12, 2), origin STRING);
INSERT INTO orders SELECT id, amount, note FROM web UNION ALL SELECT id, price, 'shop' FROM shop UNION ALL SELECT id, amount, CAST(NULL AS STRING) FROM web WHERE amount > 5;
