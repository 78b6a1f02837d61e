CREATE TABLE orders (id INT, currency STRING, moment AS PROCTIME());
CREATE TABLE rates (currency STRING, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (currency) NOT ENFORCED);
CREATE TABLE converted (id INT, rate INT);
INSERT INTO converted SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.moment AS r ON o.currency = r.currency;
