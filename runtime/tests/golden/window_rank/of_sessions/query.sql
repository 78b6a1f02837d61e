CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE top (window_start TIMESTAMP(3), window_end TIMESTAMP(3), who STRING, n INT, rn BIGINT);
INSERT INTO top SELECT window_start, window_end, who, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS rn FROM SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE rn <= 1;
