CREATE TABLE web (item STRING, qty INT);
CREATE TABLE shop (item STRING, qty INT);
CREATE TABLE stock (item STRING, qty INT, moves BIGINT, PRIMARY KEY (item) NOT ENFORCED);
INSERT INTO stock SELECT item, SUM(qty), COUNT(*) FROM (SELECT item, qty FROM web UNION ALL SELECT item, -qty FROM shop) AS m GROUP BY item;
