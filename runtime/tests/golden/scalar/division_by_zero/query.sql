CREATE TABLE numbers (a INT, b INT);
CREATE TABLE results (q INT);
INSERT INTO results SELECT a / b FROM numbers;
