SET 'sql.local-time-zone' = 'Europe/Berlin';
CREATE TABLE visits (moment TIMESTAMP_LTZ(3), page STRING, WATERMARK FOR moment AS moment - INTERVAL '3' HOUR);
CREATE TABLE hops (window_start TIMESTAMP(3), window_end TIMESTAMP(3), wt TIMESTAMP_LTZ(3), n BIGINT);
CREATE TABLE days (window_start TIMESTAMP(3), window_end TIMESTAMP(3), wt TIMESTAMP_LTZ(3), n BIGINT);
INSERT INTO hops SELECT window_start, window_end, window_time, COUNT(*) FROM HOP(TABLE visits, DESCRIPTOR(moment), INTERVAL '12' HOUR, INTERVAL '1' DAY) GROUP BY window_start, window_end, window_time;
INSERT INTO days SELECT window_start, window_end, window_time, COUNT(*) FROM CUMULATE(TABLE visits, DESCRIPTOR(moment), INTERVAL '6' HOUR, INTERVAL '1' DAY) GROUP BY window_start, window_end, window_time;
