CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE top (window_start TIMESTAMP(3), who STRING, n INT, rn BIGINT);
CREATE TABLE best (window_start TIMESTAMP(3), who STRING, n INT);
INSERT INTO top SELECT window_start, who, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn <= 3;
INSERT INTO top SELECT window_start, who, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY who, n DESC) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn BETWEEN 2 AND 3;
INSERT INTO best SELECT window_start, who, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, who ORDER BY n DESC) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn <= 1;
