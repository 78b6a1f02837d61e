CREATE TABLE clicks (who STRING, n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '30' SECOND);
CREATE VIEW chosen AS SELECT * FROM clicks WHERE n > 0;
CREATE TABLE placed (way STRING, who STRING, n INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3));
INSERT INTO placed SELECT 'rows', who, n, window_start, window_end FROM TABLE(SESSION(TABLE chosen PARTITION BY who, DESCRIPTOR(ts), INTERVAL '5' SECOND));
INSERT INTO placed SELECT 'groups', who, SUM(n), window_start, window_end FROM TABLE(SESSION(TABLE chosen PARTITION BY who, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY who, window_start, window_end;
INSERT INTO placed SELECT 'rows above', who, n, window_start, window_end FROM TABLE(SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '5' SECOND)) WHERE n > 0;
INSERT INTO placed SELECT 'groups above', who, SUM(n), window_start, window_end FROM TABLE(SESSION(TABLE clicks PARTITION BY who, DESCRIPTOR(ts), INTERVAL '5' SECOND)) WHERE n > 0 GROUP BY who, window_start, window_end;
