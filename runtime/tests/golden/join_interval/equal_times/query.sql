SET 'table.local-time-zone' = 'Europe/Berlin';
CREATE TABLE l (k INT, v INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE r (k INT, v INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE TABLE equal (l INT, r INT);
CREATE TABLE ahead (l INT, r INT);
INSERT INTO equal SELECT l.v, r.v FROM l FULL JOIN r ON l.k = r.k AND l.ts = r.ts;
INSERT INTO ahead SELECT l.v, r.v FROM l FULL JOIN r ON l.k = r.k AND l.ts BETWEEN r.ts + INTERVAL '5' SECOND AND r.ts + INTERVAL '10' SECOND;
