CREATE TABLE events (device STRING, kind STRING, amount INT, pt AS PROCTIME());
CREATE TABLE firsts (device STRING, kind STRING, amount INT);
CREATE TABLE lasts (device STRING, amount INT, PRIMARY KEY (device) NOT ENFORCED);
CREATE TABLE counts (amount INT, n BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO firsts SELECT device, kind, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY device, kind ORDER BY pt) AS n FROM events
) WHERE n = 1;
INSERT INTO lasts SELECT device, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY device ORDER BY pt DESC) AS n FROM events
) WHERE n = 1;
INSERT INTO counts SELECT amount, COUNT(*) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY device ORDER BY pt DESC) AS n FROM events
) WHERE n = 1 GROUP BY amount;
