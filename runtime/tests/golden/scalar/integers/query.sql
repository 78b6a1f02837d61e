CREATE TABLE numbers (t TINYINT, s SMALLINT, i INT, l BIGINT);
CREATE TABLE results (t TINYINT, plus_ts SMALLINT, minus_si INT, times_il BIGINT, half INT, rest INT, rest_l BIGINT, neg INT, wrap INT, absolute BIGINT, pow DOUBLE, sgn INT, low INT, high BIGINT);
INSERT INTO results SELECT t, t + s, s - i, i * l, i / 2, i % 3, MOD(l, CAST(7 AS BIGINT)), -i, i + 1, ABS(l), POWER(t, 2), SIGN(i), LEAST(t, s, i), GREATEST(s, l) FROM numbers;
