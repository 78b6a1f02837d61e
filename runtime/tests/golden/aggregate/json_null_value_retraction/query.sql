CREATE TABLE facts (k INT, name STRING, n INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE docs (k INT, o STRING, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO docs SELECT k, JSON_OBJECTAGG(KEY name VALUE n) FROM facts GROUP BY k;
