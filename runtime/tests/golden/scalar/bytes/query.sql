CREATE TABLE blobs (id INT, b BYTES);
CREATE TABLE results (id INT, b BYTES, t STRING, same BOOLEAN);
INSERT INTO results SELECT id, b, CAST(b AS STRING), b = CAST('abc' AS BYTES) FROM blobs;
