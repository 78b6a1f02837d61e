CREATE TABLE visits (country STRING, age INT);
CREATE TABLE counts (country STRING, adult BOOLEAN, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO counts SELECT country, age >= 18, COUNT(*) FROM visits GROUP BY country, age >= 18;
