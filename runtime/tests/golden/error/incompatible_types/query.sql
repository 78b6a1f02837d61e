CREATE TABLE orders (id INT, day_of STRING);
CREATE TABLE results (id INT, day_of DATE);
INSERT INTO results SELECT id, day_of FROM orders;
