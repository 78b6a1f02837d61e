SET 'sql.local-time-zone' = 'Europe/Berlin';
CREATE TABLE visits (moment TIMESTAMP_LTZ(3), page STRING, WATERMARK FOR moment AS moment - INTERVAL '1' MINUTE);
CREATE TABLE days (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT);
INSERT INTO days SELECT window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(moment), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
