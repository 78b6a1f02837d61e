CREATE TABLE orders (id INT, customer STRING, amount INT);
CREATE TABLE visits (customer STRING, page STRING);
CREATE TABLE report (customer STRING, orders BIGINT, spent INT, visits BIGINT, PRIMARY KEY (customer) NOT ENFORCED);
INSERT INTO report SELECT o.customer, o.n, o.spent, v.n FROM (SELECT customer, COUNT(*) AS n, SUM(amount) AS spent FROM orders GROUP BY customer) AS o JOIN (SELECT customer, COUNT(*) AS n FROM visits GROUP BY customer) AS v ON o.customer = v.customer;
