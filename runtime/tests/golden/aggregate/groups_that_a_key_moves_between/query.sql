CREATE TABLE places (id INT, region STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE TABLE counted (id INT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
INSERT INTO counted SELECT id, n FROM (SELECT id, region, COUNT(*) AS n FROM places GROUP BY id, region);
