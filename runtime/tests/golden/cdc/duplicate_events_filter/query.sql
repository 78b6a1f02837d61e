SET 'table.exec.source.cdc-events-duplicate' = 'true';
CREATE TABLE parts (id INT, kind STRING, n INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'retract');
CREATE TABLE kinds (id INT, n INT) WITH ('changelog.mode' = 'retract');
INSERT INTO kinds SELECT id, n FROM parts WHERE n > 1 AND kind <> 'c';
