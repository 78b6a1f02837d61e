CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE);
CREATE TABLE totals (window_start TIMESTAMP(3), window_end TIMESTAMP(3), items BIGINT, best INT);
CREATE TABLE wider (window_start TIMESTAMP(3), window_end TIMESTAMP(3), results BIGINT, best INT);
CREATE VIEW hops AS SELECT window_start, window_end, window_time AS wt, item, MAX(price) AS best FROM HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND) GROUP BY window_start, window_end, window_time, item;
CREATE VIEW results AS SELECT wt, item, best FROM hops;
INSERT INTO totals SELECT window_start, window_end, COUNT(*), MAX(best) FROM hops GROUP BY window_start, window_end;
INSERT INTO wider SELECT window_start, window_end, COUNT(*), MAX(best) FROM HOP(TABLE results, DESCRIPTOR(wt), INTERVAL '20' SECOND, INTERVAL '40' SECOND) GROUP BY window_start, window_end;
