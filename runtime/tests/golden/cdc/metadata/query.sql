CREATE TABLE parts (id INT, name STRING, place BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL, moment TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL, db STRING METADATA FROM 'value.source.database' VIRTUAL) WITH ('value.format' = 'debezium-json');
CREATE TABLE results (id INT, name STRING, place BIGINT, moment TIMESTAMP_LTZ(3), db STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO results SELECT id, MAX(name), place, moment, db, COUNT(*) FROM parts GROUP BY id, place, moment, db;
