//! What the statements over the orders must give, computed from the generated numbers.
//!
//! Place in the flow: compares what Kafka's console consumer read. Invariant: amounts are compared as whole cents, rows one by one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::generator::{Orders, timestamp};

/// Length of a window, milliseconds.
const WINDOW_MS: u64 = 10_000;

/// Records as the console consumer read them: key and value.
type Records = [(String, String)];

/// How often and how much, in cents.
type Totals = (u64, u64);

/// The filter: orders over 500, with amount times pieces.
pub(super) fn check_large_orders(count: u64, records: &Records) -> Result<()> {
    let mut expected: BTreeMap<u64, (String, String, u64, String)> = Orders::new(count)
        .filter(|order| order.amount_cents > 50_000)
        .map(|order| {
            (
                order.id,
                (
                    order.account.clone(),
                    order.region.to_owned(),
                    order.amount_cents * order.qty,
                    timestamp(order.at_ms),
                ),
            )
        })
        .collect();
    for (_, text) in records {
        let json: Value = serde_json::from_str(text).with_context(|| text.clone())?;
        let row = (
            string(&json, "account")?,
            string(&json, "region")?,
            cents(&json, "total")?,
            string(&json, "ts")?,
        );
        let found = expected.remove(&whole(&json, "id")?);
        ensure!(
            found.as_ref() == Some(&row),
            "large order {text}: expected {found:?}"
        );
    }
    ensure!(
        expected.is_empty(),
        "{} large orders are missing, such as {:?}",
        expected.len(),
        expected.first_key_value()
    );
    Ok(())
}

/// The windows: count and sum by device.
pub(super) fn check_device_windows(count: u64, records: &Records) -> Result<()> {
    let mut expected: BTreeMap<(String, String), Totals> = BTreeMap::new();
    for order in Orders::new(count) {
        let start = timestamp(order.at_ms / WINDOW_MS * WINDOW_MS);
        let (n, total) = expected.entry((start, order.device)).or_default();
        *n += 1;
        *total += order.amount_cents;
    }
    for (_, text) in records {
        let json: Value = serde_json::from_str(text).with_context(|| text.clone())?;
        let key = (string(&json, "window_start")?, string(&json, "device")?);
        let row = (whole(&json, "n")?, cents(&json, "total")?);
        let found = expected.remove(&key);
        ensure!(found == Some(row), "window {text}: expected {found:?}");
    }
    ensure!(
        expected.is_empty(),
        "{} windows are missing, such as {:?}",
        expected.len(),
        expected.first_key_value()
    );
    Ok(())
}

/// The updating aggregate: the last row of each key.
pub(super) fn check_account_totals(count: u64, records: &Records) -> Result<()> {
    let mut expected: BTreeMap<(String, String), Totals> = BTreeMap::new();
    for order in Orders::new(count) {
        let key = (order.region.to_owned(), order.account);
        let (n, total) = expected.entry(key).or_default();
        *n += 1;
        *total += order.amount_cents;
    }
    let mut found: BTreeMap<(String, String), Totals> = BTreeMap::new();
    for (key, value) in records {
        let key: Value = serde_json::from_str(key).with_context(|| key.clone())?;
        let key = (string(&key, "region")?, string(&key, "account")?);
        if value == "null" {
            found.remove(&key);
            continue;
        }
        let json: Value = serde_json::from_str(value).with_context(|| value.clone())?;
        ensure!(
            key == (string(&json, "region")?, string(&json, "account")?),
            "key and value disagree: {value}"
        );
        found.insert(key, (whole(&json, "n")?, cents(&json, "total")?));
    }
    ensure!(
        found.len() == expected.len(),
        "{} keys instead of {}",
        found.len(),
        expected.len()
    );
    for (key, row) in &expected {
        ensure!(
            found.get(key) == Some(row),
            "{key:?}: {:?} instead of {row:?}",
            found.get(key)
        );
    }
    Ok(())
}

/// A member that must be a string.
fn string(json: &Value, name: &str) -> Result<String> {
    json[name]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("{name} in {json}"))
}

/// A member that must be a whole number.
fn whole(json: &Value, name: &str) -> Result<u64> {
    json[name]
        .as_u64()
        .with_context(|| format!("{name} in {json}"))
}

/// A DECIMAL with two digits after the point, in cents.
///
/// The amounts stay below 2^53 cents, where the nearest floating-point number still tells them apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and not negative by the data"
)]
fn cents(json: &Value, name: &str) -> Result<u64> {
    let number = json[name]
        .as_f64()
        .with_context(|| format!("{name} in {json}"))?;
    ensure!(number >= 0.0, "{name} in {json} is negative");
    Ok((number * 100.0).round() as u64)
}
