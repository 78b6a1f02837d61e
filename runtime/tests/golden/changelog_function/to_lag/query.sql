CREATE TABLE clicks (u STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (u STRING, op STRING, v INT, v_before INT);
INSERT INTO results SELECT u, op, v, LAG(v) OVER (PARTITION BY u ORDER BY ts)
FROM TO_CHANGELOG(input => TABLE clicks, op_mapping => MAP['INSERT', '+', 'UPDATE_AFTER', '~', 'DELETE', '-']);
