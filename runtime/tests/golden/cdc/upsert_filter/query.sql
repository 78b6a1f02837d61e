CREATE TABLE stock (id INT, item STRING, amount INT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE scarce (id INT, item STRING, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE scarce_rows (id INT, amount INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE scarce_count (what STRING, n BIGINT, PRIMARY KEY (what) NOT ENFORCED);
INSERT INTO scarce SELECT id, item FROM stock WHERE amount < 10;
INSERT INTO scarce_rows SELECT id, amount FROM stock WHERE amount < 10;
INSERT INTO scarce_count SELECT 'scarce', COUNT(*) FROM stock WHERE amount < 10 GROUP BY 'scarce';
