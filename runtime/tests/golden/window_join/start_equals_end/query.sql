CREATE TABLE sent (n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE kept (kind STRING, n INT);
INSERT INTO kept SELECT 'inner', l.n FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) l JOIN (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.n = r.n AND l.window_start = r.window_end;
INSERT INTO kept SELECT 'anti', l.n FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) l WHERE NOT EXISTS (SELECT 1 FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) r WHERE l.window_start = r.window_start AND l.window_end = r.window_end AND l.n = r.n AND l.window_start = r.window_end);
