CREATE TABLE parts (id INT, name STRING) WITH ('value.format' = 'debezium-json', 'error-handling.mode' = 'log');
CREATE TABLE names (name STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO names SELECT name, COUNT(*) FROM parts GROUP BY name;
