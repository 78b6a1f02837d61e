SET 'table.exec.sink.type-length-enforcer' = 'ERROR';
CREATE TABLE codes (id INT, c CHAR(3), v VARCHAR(3), b BINARY(2), w VARBINARY(2));
CREATE TABLE results (id INT, c CHAR(3), v VARCHAR(3), b BINARY(2), w VARBINARY(2));
INSERT INTO results SELECT * FROM codes;
