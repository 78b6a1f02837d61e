CREATE TABLE clicks (u STRING, page STRING, n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (ws TIMESTAMP(3), we TIMESTAMP(3), u STRING, pages STRING, uniq STRING, fpage STRING, lpage STRING, fnum INT, lnum INT, doc STRING);
INSERT INTO totals SELECT window_start, window_end, u, LISTAGG(page, ' > '), LISTAGG(DISTINCT page, '; '), FIRST_VALUE(page), LAST_VALUE(page), FIRST_VALUE(n), LAST_VALUE(n), JSON_ARRAYAGG(page) FROM SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '4' SECOND) GROUP BY window_start, window_end, u;
