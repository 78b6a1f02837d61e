CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts);
CREATE TABLE top (window_start TIMESTAMP(3), who STRING, n INT, rn BIGINT);
INSERT INTO top SELECT window_start, who, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, who ORDER BY n DESC) AS rn FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)) WHERE rn <= 1;
