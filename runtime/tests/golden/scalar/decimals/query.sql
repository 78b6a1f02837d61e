CREATE TABLE amounts (id INT, a DECIMAL(10, 2), b DECIMAL(8, 4));
CREATE TABLE results (id INT, total DECIMAL(12, 4), diff DECIMAL(12, 4), product DECIMAL(18, 6), quotient DECIMAL(38, 12), rounded DECIMAL(10, 1), whole DECIMAL(10, 0), up DECIMAL(10, 0), magnitude DECIMAL(10, 2), rest DECIMAL(10, 4), as_int INT, as_double DOUBLE);
INSERT INTO results SELECT id, a + b, a - b, a * b, a / NULLIF(b, 0), ROUND(a, 1), FLOOR(a), CEIL(a), ABS(a), MOD(a, NULLIF(b, 0)), CAST(a AS INT), CAST(a AS DOUBLE) FROM amounts;
