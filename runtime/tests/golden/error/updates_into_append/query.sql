CREATE TABLE orders (id INT, amount INT);
CREATE TABLE results (id INT, n BIGINT);
INSERT INTO results SELECT id, COUNT(*) FROM orders GROUP BY id;
