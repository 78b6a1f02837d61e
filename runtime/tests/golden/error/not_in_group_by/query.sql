CREATE TABLE orders (id INT, amount INT);
CREATE TABLE results (id INT, amount INT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO results SELECT id, amount, COUNT(*) FROM orders GROUP BY id;
