CREATE TABLE docs (id INT, tags ARRAY<STRING>, attrs MAP<STRING, INT>, place ROW<city STRING, pos ROW<x INT, y INT>>, grid ARRAY<ARRAY<INT>>);
CREATE TABLE results (id INT, second_tag STRING, tag_count INT, a INT, attr_count INT, city STRING, x INT, corner INT, made ARRAY<INT>, pairs MAP<STRING, INT>, made_row ROW<a INT, b STRING>, place ROW<city STRING, pos ROW<x INT, y INT>>);
INSERT INTO results SELECT id, tags[2], CARDINALITY(tags), attrs['a'], CARDINALITY(attrs), place.city, place.pos.x, grid[1][1], ARRAY[id, 2], MAP['id', id], ROW(id, 'x'), place FROM docs;
