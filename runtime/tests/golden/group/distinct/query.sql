CREATE TABLE visits (country STRING, age INT);
CREATE TABLE seen (country STRING, age INT) WITH ('changelog.mode' = 'retract');
INSERT INTO seen SELECT DISTINCT country, age FROM visits;
