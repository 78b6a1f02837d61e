//! Deterministic orders, about 190 bytes of JSON with nine fields, and the accounts that they are for.
//!
//! Place in the flow: written to files that become topics, and generated again for what is expected. Invariant: an order depends on its
//! number alone.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

/// Time of the first order, epoch milliseconds: 2024-01-01 00:00:00 UTC.
const FIRST_MS: u64 = 1_704_067_200_000;

/// How far an order's time lies before its turn at most, milliseconds; less than the declared bound of 5 s, so that none is late.
const DISORDER_MS_MAX: u64 = 4000;

/// A broken record follows each so many orders: one in a hundred, as in `weir demo`.
const BROKEN_EVERY: u64 = 100;

/// Distinct devices.
const DEVICES: u64 = 1000;

/// Distinct accounts.
const ACCOUNTS: u64 = 10_000;

/// Regions.
const REGIONS: [&str; 5] = ["emea", "apac", "amer", "latam", "anz"];

/// Generates orders by number, from 0.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// The next number.
    next: u64,
    /// One past the last number.
    end: u64,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its number.
    pub(super) id: u64,
    /// Who.
    pub(super) account: String,
    /// What sent it.
    pub(super) device: String,
    /// Hundredths; up to 999.99.
    pub(super) amount_cents: u64,
    /// Pieces, 1 to 9.
    pub(super) qty: u64,
    /// Epoch milliseconds.
    pub(super) at_ms: u64,
    /// Where.
    pub(super) region: &'static str,
    /// A page.
    url: String,
    /// A word.
    tag: String,
}

impl Orders {
    /// The first `count` orders.
    pub(crate) fn new(count: u64) -> Self {
        Self::between(0, count)
    }

    /// The orders from one number to before another.
    pub(crate) fn between(start: u64, end: u64) -> Self {
        Self { next: start, end }
    }

    /// Writes one a line.
    pub(crate) fn write_to(self, path: &Path) -> Result<()> {
        write_lines(path, self.map(|order| order.json()))
    }

    /// Writes one a line, with broken records between them.
    pub(crate) fn write_with_broken(self, path: &Path) -> Result<()> {
        let lines = self.flat_map(|order| {
            let broken = is_followed_by_broken(order.id).then(|| broken_record(order.id));
            [Some(order.json()), broken].into_iter().flatten()
        });
        write_lines(path, lines)
    }
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        let id = self.next;
        if id == self.end {
            return None;
        }
        self.next += 1;
        let mut random = SplitMix64 { state: id };
        Some(Order {
            id,
            account: account_name(random.below(ACCOUNTS)),
            device: format!("device-{:04}", random.below(DEVICES)),
            amount_cents: random.below(100_000),
            qty: 1 + random.below(9),
            at_ms: FIRST_MS + DISORDER_MS_MAX + id - random.below(DISORDER_MS_MAX),
            region: REGIONS[usize::try_from(random.below(REGIONS.len() as u64)).unwrap_or(0)],
            url: format!("https://shop.example/item/{:08x}", random.below(1 << 32)),
            tag: format!("tag-{:x}", random.below(1 << 24)),
        })
    }
}

impl Order {
    /// The record's value.
    pub(crate) fn json(&self) -> String {
        format!(
            r#"{{"id":{},"account":"{}","device":"{}","amount":{}.{:02},"qty":{},"ts":"{}","region":"{}","url":"{}","tag":"{}"}}"#,
            self.id,
            self.account,
            self.device,
            self.amount_cents / 100,
            self.amount_cents % 100,
            self.qty,
            timestamp(self.at_ms),
            self.region,
            self.url,
            self.tag
        )
    }
}

/// The records of the first so many orders that are broken.
pub(super) fn broken_records(count: u64) -> impl Iterator<Item = String> {
    (0..count)
        .filter(|id| is_followed_by_broken(*id))
        .map(broken_record)
}

/// Lines of [`write_accounts`].
pub(super) fn account_lines() -> u64 {
    (0..ACCOUNTS)
        .map(|number| owners_of(&account_name(number)).len() as u64)
        .sum()
}

/// Whether a broken record follows an order.
fn is_followed_by_broken(id: u64) -> bool {
    id % BROKEN_EVERY == BROKEN_EVERY - 1
}

/// A record that ends in the middle, and that no other one equals.
fn broken_record(id: u64) -> String {
    format!(r#"{{"id":{id},"account":"acc"#)
}

/// Writes every account that has owners, a line for each of them.
pub(super) fn write_accounts(path: &Path) -> Result<()> {
    let lines = (0..ACCOUNTS).map(account_name).flat_map(|account| {
        let owners = owners_of(&account).into_iter();
        owners.map(move |owner| format!(r#"{{"account":"{account}","owner":"{owner}"}}"#))
    });
    write_lines(path, lines)
}

/// The owners of an account: none, one and two in turn, so that a join drops and repeats orders.
pub(super) fn owners_of(account: &str) -> Vec<String> {
    let number = account.bytes().map(usize::from).sum::<usize>();
    (0..number % 3)
        .map(|nth| format!("owner-{nth}-of-{account}"))
        .collect()
}

/// An account's name.
fn account_name(number: u64) -> String {
    format!("account-{number:06}")
}

/// Writes lines to a file.
fn write_lines(path: &Path, lines: impl Iterator<Item = String>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(())
}

/// A time of the first day of 2024 as Flink's JSON format writes a TIMESTAMP(3): no fraction when it is zero, else without
/// trailing zeros.
pub(super) fn timestamp(at_ms: u64) -> String {
    let in_day = at_ms - FIRST_MS;
    assert!(in_day < 86_400_000, "orders stay within a day");
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let clock = format!(
        "2024-01-01 {:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if millis == 0 {
        clock
    } else {
        format!("{clock}.{millis:03}")
            .trim_end_matches('0')
            .to_owned()
    }
}

/// Sebastiano Vigna's generator of the same name, a public-domain algorithm.
struct SplitMix64 {
    /// The state.
    state: u64,
}

impl SplitMix64 {
    /// The next number below `limit`; the bias is far below what a test can see.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[test]
fn orders_are_deterministic_json_in_bounded_disorder() -> Result<()> {
    let mut newest_ms = 0;
    let mut bytes = 0;
    for order in Orders::new(10_000) {
        let json: serde_json::Value = serde_json::from_str(&order.json())?;
        assert_eq!(json["id"], order.id);
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(9));
        assert!(newest_ms <= order.at_ms + DISORDER_MS_MAX);
        newest_ms = newest_ms.max(order.at_ms);
        bytes += order.json().len();
    }
    assert!((180..200).contains(&(bytes / 10_000)), "{bytes}");
    assert_eq!(
        Orders::new(3).last(),
        Orders::new(1000).nth(2),
        "an order depends on its number alone"
    );
    Ok(())
}

#[test]
fn timestamps_have_no_trailing_zeros() {
    assert_eq!(timestamp(FIRST_MS + 3_661_000), "2024-01-01 01:01:01");
    assert_eq!(timestamp(FIRST_MS + 250), "2024-01-01 00:00:00.25");
}
