CREATE TABLE clicks (person STRING, page STRING);
CREATE TABLE histogram (clicks BIGINT, people BIGINT, PRIMARY KEY (clicks) NOT ENFORCED);
INSERT INTO histogram SELECT clicks, COUNT(*) FROM (SELECT person, COUNT(*) AS clicks FROM clicks GROUP BY person) GROUP BY clicks;
