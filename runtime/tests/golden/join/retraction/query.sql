CREATE TABLE clicks (person STRING, page STRING);
CREATE TABLE labels (clicks BIGINT, label STRING);
CREATE TABLE people (person STRING, label STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO people SELECT c.person, l.label FROM (SELECT person, COUNT(*) AS n FROM clicks GROUP BY person HAVING COUNT(*) < 4) AS c JOIN labels AS l ON c.n = l.clicks;
