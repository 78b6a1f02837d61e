CREATE TABLE docs (id INT, tags ARRAY<STRING>, place ROW<x INT, y STRING>, props MAP<STRING, INT>);
CREATE TABLE by_tags (tags ARRAY<STRING>, n BIGINT, ids BIGINT) WITH ('changelog.mode' = 'retract');
CREATE TABLE by_place (place ROW<x INT, y STRING>, n BIGINT) WITH ('changelog.mode' = 'retract');
CREATE TABLE by_props (props MAP<STRING, INT>, n BIGINT, tags BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO by_tags SELECT tags, COUNT(*), SUM(CAST(id AS BIGINT)) FROM docs GROUP BY tags;
INSERT INTO by_place SELECT place, COUNT(*) FROM docs GROUP BY place;
INSERT INTO by_props SELECT props, COUNT(*), COUNT(DISTINCT tags) FROM docs GROUP BY props;
