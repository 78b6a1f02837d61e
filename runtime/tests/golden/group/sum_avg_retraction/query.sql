CREATE TABLE bids (auction INT, category STRING, price INT);
CREATE TABLE sums (category STRING, total BIGINT, mean BIGINT, priced BIGINT, n BIGINT, PRIMARY KEY (category) NOT ENFORCED);
INSERT INTO sums SELECT category, SUM(last_price), AVG(last_price), COUNT(last_price), COUNT(*) FROM (SELECT auction, category, NULLIF(SUM(CAST(price AS BIGINT)), 0) AS last_price FROM bids GROUP BY auction, category) GROUP BY category;
