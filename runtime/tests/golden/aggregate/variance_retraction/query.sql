CREATE TABLE sizes (k INT, i INT, x DOUBLE) WITH ('changelog.mode' = 'retract');
CREATE TABLE spreads (k INT, ip INT, xp DOUBLE, xs DOUBLE, n BIGINT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO spreads SELECT k, VAR_POP(i), STDDEV_POP(x), STDDEV_SAMP(x), COUNT(*) FROM sizes GROUP BY k;
