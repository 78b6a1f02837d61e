CREATE TABLE bids (item INT, price INT, bidder STRING);
CREATE TABLE asks (item INT, price INT, seller STRING);
CREATE TABLE trades (item INT, bidder STRING, seller STRING, spread INT);
INSERT INTO trades SELECT b.item, b.bidder, a.seller, b.price - a.price FROM bids AS b JOIN asks AS a ON b.item = a.item AND b.price >= a.price AND b.bidder <> a.seller;
