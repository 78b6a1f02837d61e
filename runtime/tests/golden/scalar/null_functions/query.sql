CREATE TABLE pairs (id INT, a INT, b BIGINT, s STRING);
CREATE TABLE results (id INT, first_of BIGINT, or_zero BIGINT, not_one INT, chosen STRING, text STRING);
INSERT INTO results SELECT id, COALESCE(a, b, 0), IFNULL(b, CAST(a AS BIGINT)), NULLIF(a, 1), IF(a > b, 'a', 'b'), COALESCE(s, CAST(a AS STRING), 'none') FROM pairs;
