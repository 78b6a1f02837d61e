SET 'table.exec.sink.not-null-enforcer' = 'drop';
CREATE TABLE orders (id INT, amount INT, note STRING);
CREATE TABLE results (id INT, amount INT NOT NULL, note STRING);
INSERT INTO results SELECT id, amount + 1, note FROM orders;
