CREATE TABLE clicks (u STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND);
CREATE TABLE results (op STRING, u STRING, w TIMESTAMP(3), n BIGINT);
INSERT INTO results SELECT * FROM TO_CHANGELOG(input => (SELECT u, window_start, COUNT(v) FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY u, window_start, window_end), op_mapping => MAP['INSERT', 'I']);
