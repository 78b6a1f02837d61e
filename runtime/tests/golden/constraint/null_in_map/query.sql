SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS_AND_COLLECTIONS';
CREATE TABLE codes (id INT, x MAP<STRING, INT>);
CREATE TABLE results (id INT, x MAP<STRING, INT NOT NULL>);
INSERT INTO results SELECT * FROM codes;
