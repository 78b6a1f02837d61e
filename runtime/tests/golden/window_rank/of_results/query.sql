CREATE TABLE clicks (ts TIMESTAMP(3), who STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE top (window_start TIMESTAMP(3), window_end TIMESTAMP(3), who STRING, total INT, rn BIGINT);
INSERT INTO top SELECT window_start, window_end, who, total, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY total DESC, who) AS rn FROM (SELECT window_start, window_end, who, SUM(n) AS total FROM HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND) GROUP BY window_start, window_end, who)) WHERE rn <= 2;
