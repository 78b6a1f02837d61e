CREATE TABLE facts (id INT, a BOOLEAN, b BOOLEAN);
CREATE TABLE results (id INT, a_and_b BOOLEAN, a_or_b BOOLEAN, not_a BOOLEAN, a_true BOOLEAN, a_not_false BOOLEAN, b_null BOOLEAN, same BOOLEAN, equal BOOLEAN);
INSERT INTO results SELECT id, a AND b, a OR b, NOT a, a IS TRUE, a IS NOT FALSE, b IS NULL, a IS NOT DISTINCT FROM b, a = b FROM facts;
