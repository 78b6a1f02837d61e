CREATE TABLE moves (piece INT, board STRING, place INT);
CREATE TABLE boards (board STRING, places BIGINT, pieces BIGINT, PRIMARY KEY (board) NOT ENFORCED);
INSERT INTO boards SELECT board, COUNT(DISTINCT place), COUNT(*) FROM (SELECT piece, board, MAX(place) AS place FROM moves GROUP BY piece, board) GROUP BY board;
