CREATE TABLE scores (id INT, points INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE TABLE best (id INT, points INT, place BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
INSERT INTO best SELECT id, points, rn FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY points DESC, id) AS rn FROM scores) WHERE rn <= 3;
