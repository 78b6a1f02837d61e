CREATE TABLE sent (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE seen (ts TIMESTAMP(3), who STRING, m INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE pairs (kind STRING, ls TIMESTAMP(3), rs TIMESTAMP(3), lw STRING, n INT, rw STRING, m INT);
INSERT INTO pairs SELECT 'INNER', l.window_start, r.window_start, l.who, n, r.who, m FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) l INNER JOIN (SELECT * FROM TUMBLE(TABLE seen, DESCRIPTOR(ts), INTERVAL '10' SECOND)) r ON l.window_start = r.window_start AND l.window_end = r.window_end;
INSERT INTO pairs SELECT 'FULL', l.window_start, r.window_start, l.who, n, r.who, m FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) l FULL JOIN (SELECT * FROM TUMBLE(TABLE seen, DESCRIPTOR(ts), INTERVAL '10' SECOND)) r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.who IS NOT DISTINCT FROM r.who;
