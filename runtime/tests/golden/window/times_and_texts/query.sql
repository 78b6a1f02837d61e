CREATE TABLE notes (ts TIMESTAMP(3), w STRING, d DATE, b BOOLEAN, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE TABLE ends (window_start TIMESTAMP(3), first_w STRING, last_w STRING, first_d DATE, last_d DATE, first_ts TIMESTAMP(3), last_ts TIMESTAMP(3), any_b BOOLEAN, all_b BOOLEAN);
INSERT INTO ends SELECT window_start, MIN(w), MAX(w), MIN(d), MAX(d), MIN(ts), MAX(ts), MAX(b), MIN(b) FROM TABLE(TUMBLE(TABLE notes, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
