SET 'sql.local-time-zone' = 'Europe/Berlin';
CREATE TABLE visits (moment TIMESTAMP_LTZ(3), page STRING, WATERMARK FOR moment AS moment - INTERVAL '3' HOUR);
CREATE TABLE sessions (window_start TIMESTAMP(3), window_end TIMESTAMP(3), wt TIMESTAMP_LTZ(3), n BIGINT);
INSERT INTO sessions SELECT window_start, window_end, window_time, COUNT(*) FROM SESSION(TABLE visits PARTITION BY page, DESCRIPTOR(moment), INTERVAL '30' MINUTE) GROUP BY window_start, window_end, window_time, page;
