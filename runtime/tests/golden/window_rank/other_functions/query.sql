CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE top (window_start TIMESTAMP(3), who STRING, n INT, rn BIGINT);
INSERT INTO top SELECT window_start, who, n, rn FROM (SELECT *, RANK() OVER (PARTITION BY window_start, window_end ORDER BY n) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn <= 2;
