CREATE TABLE orders (id INT, amount INT, region STRING);
CREATE TABLE large (id INT, amount INT);
INSERT INTO large SELECT id, amount FROM orders WHERE amount > 10 AND region <> 'eu';
