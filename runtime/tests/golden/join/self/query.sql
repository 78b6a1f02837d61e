CREATE TABLE staff (id INT, boss INT, name STRING);
CREATE TABLE lines (name STRING, boss STRING, big_boss STRING);
INSERT INTO lines SELECT a.name, b.name, c.name FROM staff AS a JOIN staff AS b ON a.boss = b.id JOIN staff AS c ON b.boss = c.id;
