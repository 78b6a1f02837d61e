SET 'sql.local-time-zone' = 'Europe/Berlin';
CREATE TABLE events (id INT, moment TIMESTAMP_LTZ(3), epoch_ms BIGINT, wall TIMESTAMP(3));
CREATE TABLE results (id INT, local_text STRING, local_ts TIMESTAMP(3), local_hour BIGINT, from_epoch TIMESTAMP_LTZ(3), from_wall TIMESTAMP_LTZ(3), day_start TIMESTAMP_LTZ(3), next_hour TIMESTAMP_LTZ(3));
INSERT INTO results SELECT id, DATE_FORMAT(moment, 'yyyy-MM-dd HH:mm:ss'), CAST(moment AS TIMESTAMP(3)), EXTRACT(HOUR FROM moment), TO_TIMESTAMP_LTZ(epoch_ms, 3), CAST(wall AS TIMESTAMP_LTZ(3)), FLOOR(moment TO DAY), moment + INTERVAL '1' HOUR FROM events;
