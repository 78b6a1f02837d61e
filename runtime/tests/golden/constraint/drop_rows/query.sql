SET 'table.exec.sink.not-null-enforcer' = 'DROP';
SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS';
CREATE TABLE codes (id INT, r ROW<x INT, i ROW<y INT>>, a ARRAY<INT>, m MAP<STRING, INT>);
CREATE TABLE results (id INT, r ROW<x INT NOT NULL, i ROW<y INT NOT NULL>>, a ARRAY<INT NOT NULL>, m MAP<STRING, INT NOT NULL>);
INSERT INTO results SELECT * FROM codes;
