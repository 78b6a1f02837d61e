SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS_AND_COLLECTIONS';
CREATE TABLE codes (id INT, x ARRAY<INT>);
CREATE TABLE results (id INT, x ARRAY<INT NOT NULL>);
INSERT INTO results SELECT * FROM codes;
