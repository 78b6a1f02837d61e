CREATE TABLE ticks (id INT, price DOUBLE);
CREATE TABLE cheap (id INT, half DOUBLE);
INSERT INTO cheap SELECT id, price / 2 FROM ticks WHERE price < 100;
