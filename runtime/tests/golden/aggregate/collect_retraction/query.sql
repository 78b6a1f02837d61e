CREATE TABLE tags (k INT, tag STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE bags (k INT, bag MULTISET<STRING>, PRIMARY KEY (k) NOT ENFORCED);
CREATE TABLE same (bag STRING, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO bags SELECT k, COLLECT(tag) FROM tags GROUP BY k;
INSERT INTO same SELECT CAST(bag AS STRING), COUNT(*) FROM (SELECT k, COLLECT(tag) AS bag FROM tags WHERE tag = 'a' GROUP BY k) GROUP BY bag;
