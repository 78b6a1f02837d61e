CREATE TABLE bids (auction INT, seats INT, bid INT);
CREATE TABLE winners (auction INT, bid INT) WITH ('changelog.mode' = 'retract');
INSERT INTO winners SELECT auction, bid FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY bid DESC) AS place FROM bids
) WHERE place <= seats;
