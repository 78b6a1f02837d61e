CREATE TABLE visits (person STRING, page STRING);
CREATE TABLE labels (person STRING, label STRING);
CREATE TABLE report (person STRING, n BIGINT, m BIGINT, label_of STRING) WITH ('changelog.mode' = 'retract');
INSERT INTO report SELECT v.person, v.n, l.n, l.person FROM (SELECT person, COUNT(*) AS n FROM visits GROUP BY person) AS v FULL JOIN (SELECT person, COUNT(*) AS n FROM labels GROUP BY person) AS l ON v.n = l.n AND v.person <> l.person;
