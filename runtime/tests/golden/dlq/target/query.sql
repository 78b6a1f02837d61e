CREATE TABLE web (id INT) WITH ('error-handling.mode' = 'log', 'error-handling.log.target' = 'web_errors');
CREATE TABLE shop (id INT) WITH ('error-handling.mode' = 'log', 'error-handling.log.target' = 'shop_errors');
CREATE TABLE results (id INT);
INSERT INTO results SELECT id FROM web UNION ALL SELECT id FROM shop;
