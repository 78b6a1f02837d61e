CREATE TABLE bids (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('late-handling.mode' = 'filter');
CREATE TABLE per_window (window_start TIMESTAMP(3), n BIGINT, ids INT);
CREATE TABLE late (id INT) WITH ('changelog.mode' = 'append');
EXECUTE STATEMENT SET BEGIN
INSERT INTO per_window SELECT window_start, COUNT(*), SUM(id) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
INSERT INTO late SELECT id FROM `bids$late` WHERE id < 100;
END;
