CREATE TABLE orders (id INT, amount INT);
CREATE TABLE results (id INT);
INSERT INTO results SELECT amuont FROM orders;
