SET 'table.exec.source.cdc-events-duplicate' = 'true';
CREATE TABLE parts (id INT, kind STRING, n INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'retract');
CREATE TABLE kinds (kind STRING, parts BIGINT, total INT, PRIMARY KEY (kind) NOT ENFORCED);
INSERT INTO kinds SELECT kind, COUNT(*), SUM(n) FROM parts GROUP BY kind;
