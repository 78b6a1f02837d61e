CREATE TABLE changes (id INT, region STRING, state STRING);
CREATE TABLE states (id INT, region STRING, state STRING, PRIMARY KEY (id, region) NOT ENFORCED);
INSERT INTO states SELECT id, region, state FROM changes;
