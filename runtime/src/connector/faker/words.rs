//! Directives without arguments: names, places, goods and the like.
//!
//! Place in the flow: the lookup of directives ends here. Invariant: every function gives text for any random numbers. The words
//! are those of the `fake` crate's English lists and our own for goods; they are not Datafaker's.

use fake::Fake;
use fake::faker::address::en as address;
use fake::faker::barcode::en as barcode;
use fake::faker::company::en as company;
use fake::faker::creditcard::en as creditcard;
use fake::faker::currency::en as currency;
use fake::faker::finance::en as finance;
use fake::faker::internet::en as internet;
use fake::faker::job::en as job;
use fake::faker::lorem::en as lorem;
use fake::faker::name::en as name;
use fake::faker::phone_number::en as phone;
use uuid::Builder;

use super::random::RowRandom;

/// A directive without arguments.
type Words = (&'static str, fn(&mut RowRandom) -> String);

/// Every directive without arguments.
pub(super) const WORDS: &[Words] = &[
    ("Name.fullName", |r| name::Name().fake_with_rng(r)),
    ("Name.name", |r| name::Name().fake_with_rng(r)),
    ("Name.firstName", |r| name::FirstName().fake_with_rng(r)),
    ("Name.lastName", |r| name::LastName().fake_with_rng(r)),
    ("Name.prefix", |r| name::Title().fake_with_rng(r)),
    ("Name.suffix", |r| name::Suffix().fake_with_rng(r)),
    ("Name.title", |r| job::Title().fake_with_rng(r)),
    ("Name.username", |r| internet::Username().fake_with_rng(r)),
    ("Internet.emailAddress", |r| {
        internet::FreeEmail().fake_with_rng(r)
    }),
    ("Internet.safeEmailAddress", |r| {
        internet::SafeEmail().fake_with_rng(r)
    }),
    ("Internet.username", |r| {
        internet::Username().fake_with_rng(r)
    }),
    ("Internet.password", |r| {
        internet::Password(8..17).fake_with_rng(r)
    }),
    ("Internet.uuid", uuid),
    ("Internet.ipV4Address", |r| {
        internet::IPv4().fake_with_rng(r)
    }),
    ("Internet.ipV6Address", |r| {
        internet::IPv6().fake_with_rng(r)
    }),
    ("Internet.macAddress", |r| {
        internet::MACAddress().fake_with_rng(r)
    }),
    ("Internet.userAgent", |r| {
        internet::UserAgent().fake_with_rng(r)
    }),
    ("Internet.domainName", domain_name),
    ("Internet.domainWord", word),
    ("Internet.domainSuffix", |r| {
        internet::DomainSuffix().fake_with_rng(r)
    }),
    ("Internet.url", |r| {
        format!("https://www.{}/{}", domain_name(r), word(r))
    }),
    ("Internet.httpMethod", |r| {
        pick(r, &["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
    }),
    ("Internet.slug", |r| format!("{}_{}", word(r), word(r))),
    ("Commerce.productName", |r| {
        format!(
            "{} {} {}",
            pick(r, ADJECTIVES),
            pick(r, MATERIALS),
            pick(r, PRODUCTS)
        )
    }),
    ("Commerce.material", |r| pick(r, MATERIALS)),
    ("Commerce.department", |r| pick(r, DEPARTMENTS)),
    ("Commerce.brand", |r| pick(r, BRANDS)),
    ("Commerce.vendor", |r| pick(r, VENDORS)),
    ("Commerce.promotionCode", |r| {
        format!(
            "{}{}{:06}",
            pick(r, ADJECTIVES),
            pick(r, OFFERS),
            r.between(0, 999_999)
        )
    }),
    ("Color.name", |r| pick(r, COLORS)),
    ("Color.hex", |r| format!("#{:06x}", r.between(0, 0xff_ffff))),
    ("Address.city", |r| address::CityName().fake_with_rng(r)),
    ("Address.cityName", |r| address::CityName().fake_with_rng(r)),
    ("Address.country", |r| {
        address::CountryName().fake_with_rng(r)
    }),
    ("Address.countryCode", |r| {
        address::CountryCode().fake_with_rng(r)
    }),
    ("Address.state", |r| address::StateName().fake_with_rng(r)),
    ("Address.stateAbbr", |r| {
        address::StateAbbr().fake_with_rng(r)
    }),
    ("Address.zipCode", |r| address::ZipCode().fake_with_rng(r)),
    ("Address.postcode", |r| address::PostCode().fake_with_rng(r)),
    ("Address.streetName", |r| {
        address::StreetName().fake_with_rng(r)
    }),
    ("Address.streetAddress", street_address),
    ("Address.streetAddressNumber", |r| {
        address::BuildingNumber().fake_with_rng(r)
    }),
    ("Address.buildingNumber", |r| {
        address::BuildingNumber().fake_with_rng(r)
    }),
    ("Address.secondaryAddress", |r| {
        address::SecondaryAddress().fake_with_rng(r)
    }),
    ("Address.fullAddress", full_address),
    ("Address.latitude", |r| degrees(r, 90)),
    ("Address.longitude", |r| degrees(r, 180)),
    ("Address.timeZone", |r| address::TimeZone().fake_with_rng(r)),
    ("Company.name", |r| company::CompanyName().fake_with_rng(r)),
    ("Company.suffix", |r| {
        company::CompanySuffix().fake_with_rng(r)
    }),
    ("Company.industry", |r| company::Industry().fake_with_rng(r)),
    ("Company.profession", |r| {
        company::Profession().fake_with_rng(r)
    }),
    ("Company.buzzword", |r| company::Buzzword().fake_with_rng(r)),
    ("Company.catchPhrase", |r| {
        company::CatchPhrase().fake_with_rng(r)
    }),
    ("Company.bs", |r| company::Bs().fake_with_rng(r)),
    ("Job.title", |r| job::Title().fake_with_rng(r)),
    ("Job.field", |r| job::Field().fake_with_rng(r)),
    ("Job.seniority", |r| job::Seniority().fake_with_rng(r)),
    ("Job.position", |r| job::Position().fake_with_rng(r)),
    ("Lorem.word", word),
    ("Lorem.sentence", |r| {
        lorem::Sentence(4..10).fake_with_rng(r)
    }),
    ("Lorem.paragraph", |r| {
        lorem::Paragraph(3..4).fake_with_rng(r)
    }),
    ("Bool.bool", |r| (r.draw() >> 63 == 1).to_string()),
    ("PhoneNumber.phoneNumber", |r| {
        phone::PhoneNumber().fake_with_rng(r)
    }),
    ("PhoneNumber.cellPhone", |r| {
        phone::CellNumber().fake_with_rng(r)
    }),
    ("Currency.code", |r| {
        currency::CurrencyCode().fake_with_rng(r)
    }),
    ("Currency.name", |r| {
        currency::CurrencyName().fake_with_rng(r)
    }),
    ("Money.currencyCode", |r| {
        currency::CurrencyCode().fake_with_rng(r)
    }),
    ("Money.currency", |r| {
        currency::CurrencyName().fake_with_rng(r)
    }),
    ("Finance.bic", |r| finance::Bic().fake_with_rng(r)),
    ("Finance.creditCard", |r| {
        creditcard::CreditCardNumber().fake_with_rng(r)
    }),
    ("Business.creditCardNumber", |r| {
        creditcard::CreditCardNumber().fake_with_rng(r)
    }),
    ("Code.isbn10", |r| barcode::Isbn10().fake_with_rng(r)),
    ("Code.isbn13", |r| barcode::Isbn13().fake_with_rng(r)),
];

/// How goods are described.
const ADJECTIVES: &[&str] = &[
    "Bright", "Classic", "Compact", "Elegant", "Everyday", "Fine", "Light", "Modern", "Plain",
    "Robust", "Simple", "Smart", "Soft", "Solid", "Sturdy", "Warm",
];

/// What goods are made of.
const MATERIALS: &[&str] = &[
    "Aluminum", "Bamboo", "Bronze", "Concrete", "Copper", "Cotton", "Glass", "Granite", "Leather",
    "Linen", "Marble", "Paper", "Plastic", "Rubber", "Silk", "Steel", "Wooden", "Wool",
];

/// Goods.
const PRODUCTS: &[&str] = &[
    "Backpack", "Bench", "Bottle", "Chair", "Clock", "Coat", "Computer", "Gloves", "Hat",
    "Keyboard", "Knife", "Lamp", "Mug", "Pants", "Shirt", "Shoes", "Table", "Umbrella", "Wallet",
    "Watch",
];

/// Departments of a shop.
const DEPARTMENTS: &[&str] = &[
    "Automotive",
    "Baby",
    "Beauty",
    "Books",
    "Clothing",
    "Computers",
    "Electronics",
    "Games",
    "Garden",
    "Grocery",
    "Health",
    "Home",
    "Jewelry",
    "Kids",
    "Movies",
    "Music",
    "Outdoors",
    "Shoes",
    "Sports",
    "Tools",
    "Toys",
];

/// Brands, invented.
const BRANDS: &[&str] = &[
    "Alderon",
    "Brightwell",
    "Cobalt & Co",
    "Dunmore",
    "Everleaf",
    "Fjordline",
    "Granvia",
    "Halcyon",
    "Ironbark",
    "Juniper Lane",
    "Kestrel",
    "Lumenar",
];

/// Vendors, invented.
const VENDORS: &[&str] = &[
    "Anchor Trading",
    "Bluegate Supply",
    "Cedar Wholesale",
    "Delta Goods",
    "Eastport Retail",
    "Fairfield Stores",
    "Greenline Market",
    "Harbor Outlet",
];

/// What promotions are called.
const OFFERS: &[&str] = &[
    "Bargain", "Code", "Deal", "Discount", "Price", "Promo", "Sale", "Savings",
];

/// Colours.
const COLORS: &[&str] = &[
    "black", "blue", "brown", "cyan", "gold", "green", "grey", "indigo", "ivory", "lime",
    "magenta", "olive", "orange", "pink", "purple", "red", "silver", "teal", "violet", "white",
    "yellow",
];

/// One of some words.
fn pick(random: &mut RowRandom, words: &[&str]) -> String {
    (*random.pick(words)).to_owned()
}

/// A word.
fn word(random: &mut RowRandom) -> String {
    lorem::Word().fake_with_rng(random)
}

/// A random (version 4) UUID.
fn uuid(random: &mut RowRandom) -> String {
    let bits = u128::from(random.draw()) << 64 | u128::from(random.draw());
    Builder::from_random_bytes(bits.to_be_bytes())
        .into_uuid()
        .to_string()
}

/// `word.com`.
fn domain_name(random: &mut RowRandom) -> String {
    let suffix: String = internet::DomainSuffix().fake_with_rng(random);
    format!("{}.{suffix}", word(random))
}

/// `12 Some Street`.
fn street_address(random: &mut RowRandom) -> String {
    let number: String = address::BuildingNumber().fake_with_rng(random);
    let street: String = address::StreetName().fake_with_rng(random);
    format!("{number} {street}")
}

/// `12 Some Street, City, ST 12345`.
fn full_address(random: &mut RowRandom) -> String {
    let city: String = address::CityName().fake_with_rng(random);
    let state: String = address::StateAbbr().fake_with_rng(random);
    let zip: String = address::ZipCode().fake_with_rng(random);
    format!("{}, {city}, {state} {zip}", street_address(random))
}

/// Degrees from minus to plus a limit, with eight digits after the point.
fn degrees(random: &mut RowRandom, limit: i64) -> String {
    let unit = 100_000_000;
    let value = random.between(-limit * unit, limit * unit);
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    let unit = unit.unsigned_abs();
    format!("{sign}{}.{:08}", value / unit, value % unit)
}

/// `Number.randomNumber`: one to nine digits, each count as likely.
pub(super) fn random_number(random: &mut RowRandom) -> String {
    let digits = u32::try_from(random.between(1, 9)).unwrap_or(1);
    random.between(0, 10_i64.pow(digits) - 1).to_string()
}
