SET 'sql.local-time-zone' = 'Europe/Berlin';
CREATE TABLE visits (moment TIMESTAMP_LTZ(3), page STRING, WATERMARK FOR moment AS moment - INTERVAL '3' HOUR);
CREATE TABLE hours (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT);
INSERT INTO hours SELECT window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(moment), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
