CREATE TABLE events (id INT, moment TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL, `partition` INT NOT NULL METADATA VIRTUAL, origin STRING NOT NULL METADATA FROM 'topic' VIRTUAL);
CREATE TABLE results (id INT, moment TIMESTAMP_LTZ(3), p INT, origin STRING);
INSERT INTO results SELECT id, moment, `partition`, origin FROM events;
