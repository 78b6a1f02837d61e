CREATE TABLE words (k INT, s STRING) WITH ('changelog.mode' = 'retract');
CREATE TABLE texts (k INT, plain STRING, bars STRING, uniq STRING, PRIMARY KEY (k) NOT ENFORCED);
INSERT INTO texts SELECT k, LISTAGG(s), LISTAGG(s, '/'), LISTAGG(DISTINCT s, '+') FROM words GROUP BY k;
