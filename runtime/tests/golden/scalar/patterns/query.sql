CREATE TABLE lines (id INT, l STRING);
CREATE TABLE results (id INT, starts BOOLEAN, any_one BOOLEAN, escaped BOOLEAN, unlike BOOLEAN, digits BOOLEAN, number STRING, masked STRING, part STRING, missing STRING);
INSERT INTO results SELECT id, l LIKE 'ab%', l LIKE 'a_c', l LIKE '%50!%%' ESCAPE '!', l NOT LIKE '%b%', REGEXP(l, '[0-9]+'), REGEXP_EXTRACT(l, '([a-z]+)-([0-9]+)', 2), REGEXP_REPLACE(l, '[0-9]', '#'), SPLIT_INDEX(l, '-', 1), SPLIT_INDEX(l, '-', 9) FROM lines;
