SET 'table.exec.sink.type-length-enforcer' = 'ERROR';
SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS_AND_COLLECTIONS';
CREATE TABLE codes (id INT, r ROW<c CHAR(2), i ROW<v VARCHAR(2), w VARBINARY(1)>>, a ARRAY<VARCHAR(2)>, m MAP<STRING, VARCHAR(2)>);
CREATE TABLE results (id INT, r ROW<c CHAR(2), i ROW<v VARCHAR(2), w VARBINARY(1)>>, a ARRAY<VARCHAR(2)>, m MAP<STRING, VARCHAR(2)>);
INSERT INTO results SELECT * FROM codes;
