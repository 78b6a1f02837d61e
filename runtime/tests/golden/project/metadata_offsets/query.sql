CREATE TABLE events (id INT, `partition` INT NOT NULL METADATA VIRTUAL, `offset` BIGINT NOT NULL METADATA VIRTUAL, timestamp_type STRING NOT NULL METADATA FROM 'timestamp-type' VIRTUAL);
CREATE TABLE results (id INT, p INT, o BIGINT, tt STRING, moment TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp');
INSERT INTO results SELECT id, `partition`, `offset`, timestamp_type, TO_TIMESTAMP_LTZ(id * 1000, 3) FROM events;
