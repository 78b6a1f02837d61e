CREATE TABLE orders (id INT, amount INT, region STRING);
CREATE TABLE big (id INT, amount INT);
INSERT INTO big SELECT id, amount FROM orders WHERE amount > 10 AND region <> 'eu';
