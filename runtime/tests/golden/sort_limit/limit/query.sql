CREATE TABLE numbers (n INT);
CREATE TABLE some_rows (n INT);
CREATE TABLE further (n INT);
INSERT INTO some_rows SELECT n FROM numbers LIMIT 3;
INSERT INTO further SELECT n FROM numbers LIMIT 4 OFFSET 2;
