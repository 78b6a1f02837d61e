CREATE TABLE gone (qty INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE back (qty INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE gone_totals (n BIGINT, total INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE back_totals (n BIGINT, total INT) WITH ('changelog.mode' = 'retract');
INSERT INTO gone_totals SELECT COUNT(*), SUM(qty) FROM gone;
INSERT INTO back_totals SELECT COUNT(*), SUM(qty) FROM back;
