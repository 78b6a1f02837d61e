CREATE TABLE flights (id INT, gate STRING, seats INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (what STRING, id INT, seats INT);
INSERT INTO results SELECT what, id, seats + 1 FROM TO_CHANGELOG(input => TABLE flights, op => DESCRIPTOR(what), op_mapping => MAP['INSERT', 'new', 'DELETE', '']) WHERE seats IS NOT NULL;
