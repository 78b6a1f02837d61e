CREATE TABLE sent (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE seen (ts TIMESTAMP(3), who STRING, m INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (s TIMESTAMP(3), e TIMESTAMP(3), pairs BIGINT, total INT);
INSERT INTO totals SELECT window_start, window_end, COUNT(*), SUM(m) FROM (SELECT l.window_start, l.window_end, l.n, r.m FROM (SELECT * FROM TUMBLE(TABLE sent, DESCRIPTOR(ts), INTERVAL '10' SECOND)) l JOIN (SELECT * FROM TUMBLE(TABLE seen, DESCRIPTOR(ts), INTERVAL '10' SECOND)) r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.who = r.who) GROUP BY window_start, window_end;
