CREATE TABLE bids (auction INT, category STRING, price INT);
CREATE TABLE extremes (category STRING, low INT, high INT, n BIGINT, PRIMARY KEY (category) NOT ENFORCED);
INSERT INTO extremes SELECT category, MIN(total), MAX(total), COUNT(*) FROM (SELECT auction, category, SUM(price) AS total FROM bids GROUP BY auction, category) GROUP BY category;
