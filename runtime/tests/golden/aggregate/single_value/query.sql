CREATE TABLE config (k INT, v STRING, n INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE settings (k INT, v STRING, n INT, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO settings SELECT k, SINGLE_VALUE(v), SINGLE_VALUE(n) FROM config GROUP BY k;
