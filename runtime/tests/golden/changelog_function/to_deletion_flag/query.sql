CREATE TABLE flights (id INT, gate STRING, seats INT) WITH ('changelog.mode' = 'retract');
CREATE TABLE results (id INT, gate STRING, is_deleted BOOLEAN);
INSERT INTO results SELECT id, gate, deleted = 'true' FROM TO_CHANGELOG(TABLE flights, DESCRIPTOR(deleted), MAP['INSERT , UPDATE_AFTER', 'false', 'DELETE', 'true']);
