CREATE TABLE moves (account INT, amount INT);
CREATE TABLE rich (account INT, balance INT, n BIGINT, PRIMARY KEY (account) NOT ENFORCED);
INSERT INTO rich SELECT account, SUM(amount), COUNT(*) FROM moves GROUP BY account HAVING SUM(amount) > 10 AND COUNT(*) < 4;
