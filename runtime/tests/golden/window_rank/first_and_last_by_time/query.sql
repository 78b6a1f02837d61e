CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE firsts (window_start TIMESTAMP(3), who STRING, n INT);
CREATE TABLE lasts (window_start TIMESTAMP(3), who STRING, n INT);
INSERT INTO firsts SELECT window_start, who, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, who ORDER BY ts) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn = 1;
INSERT INTO lasts SELECT window_start, who, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, who ORDER BY ts DESC) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn <= 1;
