CREATE TABLE readings (id INT, x DOUBLE, y FLOAT);
CREATE TABLE results (id INT, plus_x DOUBLE, times_x DOUBLE, y FLOAT, twice_y FLOAT, xy DOUBLE, down DOUBLE, up DOUBLE, rounded DOUBLE, root DOUBLE, as_long BIGINT, as_text STRING);
INSERT INTO results SELECT id, x + 0.1E0, x * 1E10, y, y * 2, x + y, FLOOR(x), CEIL(x), ROUND(x, 2), SQRT(ABS(x)), CAST(x AS BIGINT), CAST(x AS STRING) FROM readings;
