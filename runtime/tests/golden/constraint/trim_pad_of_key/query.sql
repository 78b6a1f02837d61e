SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';
CREATE TABLE codes (id VARCHAR(9), n INT);
CREATE TABLE results (id VARCHAR(2), n BIGINT, PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO results SELECT id, COUNT(n) FROM codes WHERE id LIKE 'a%' OR n = 4 GROUP BY id;
