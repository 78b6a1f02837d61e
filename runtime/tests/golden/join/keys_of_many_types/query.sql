CREATE TABLE a (id INT, d DECIMAL(10, 2), s STRING, t TIMESTAMP(3), b BOOLEAN, f DOUBLE, y DATE);
CREATE TABLE b (id BIGINT, d DECIMAL(12, 4), s CHAR(1), t TIMESTAMP(3), b BOOLEAN, f FLOAT, y DATE);
CREATE TABLE r (a INT, b BIGINT) WITH ('changelog.mode' = 'retract');
INSERT INTO r SELECT a.id, b.id FROM a JOIN b ON a.d = b.d AND a.t = b.t AND a.b = b.b AND a.f = b.f AND a.y = b.y;
