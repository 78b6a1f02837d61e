SET 'table.exec.sink.not-null-enforcer' = 'DROP';
CREATE TABLE codes (id INT, n INT);
CREATE TABLE results (id INT, n INT NOT NULL, PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO results SELECT id, CASE WHEN COUNT(*) < 3 THEN SUM(n) END FROM codes GROUP BY id;
