//! What the statements over the orders must give, computed from the generated numbers.
//!
//! Place in the flow: compares what was committed. Invariant: amounts are compared as whole cents, rows one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::generator::{Orders, broken_records, owners_of, timestamp};
use super::place::{Change, DeadLetter, Place};
use super::statements::{INSERTS, TOPICS};
use crate::harness::Weir;

/// Length of a window, milliseconds.
const WINDOW_MS: u64 = 10_000;

/// How often and how much, in cents.
type Totals = (u64, u64);

/// What the statements give for the first so many orders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Orders.
    pub(crate) orders: u64,
}

impl Expected {
    /// Reads and compares what the first so many statements have written.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn check(self, place: &dyn Place, weir: &Weir, statements: usize) -> Result<()> {
        let checks = [
            Self::large_orders,
            Self::device_windows,
            Self::account_totals,
            Self::owned_orders,
        ];
        for (topic, check) in TOPICS.iter().zip(checks).take(statements) {
            let changes = place.read(weir, topic)?;
            check(self, &changes).with_context(|| topic.table)?;
        }
        Ok(())
    }

    /// The filter: orders over 500, with amount times pieces.
    fn large_orders(self, changes: &[Change]) -> Result<()> {
        let expected = Orders::new(self.orders)
            .filter(|order| order.amount_cents > 50_000)
            .map(|order| {
                let at = timestamp(order.at_ms);
                let total = order.amount_cents * order.qty;
                (order.id, order.account, order.region.to_owned(), total, at)
            });
        same_rows(expected.collect(), changes, |row| {
            Ok((
                whole(row, "id")?,
                string(row, "account")?,
                string(row, "region")?,
                cents(row, "total")?,
                time(row, "ts")?,
            ))
        })
    }

    /// The windows: count and sum by device.
    fn device_windows(self, changes: &[Change]) -> Result<()> {
        let mut windows: BTreeMap<(String, String), Totals> = BTreeMap::new();
        for order in Orders::new(self.orders) {
            let start = timestamp(order.at_ms / WINDOW_MS * WINDOW_MS);
            add(windows.entry((start, order.device)), order.amount_cents);
        }
        same_rows(windows.into_iter().collect(), changes, |row| {
            let key = (time(row, "window_start")?, string(row, "device")?);
            Ok((key, (whole(row, "n")?, cents(row, "total")?)))
        })
    }

    /// The updating aggregate: the last row of each key.
    fn account_totals(self, changes: &[Change]) -> Result<()> {
        let mut expected: BTreeMap<(String, String), Totals> = BTreeMap::new();
        for order in Orders::new(self.orders) {
            let key = (order.region.to_owned(), order.account);
            add(expected.entry(key), order.amount_cents);
        }
        let mut found: BTreeMap<(String, String), Totals> = BTreeMap::new();
        for Change { is_removal, row } in changes {
            let key = (string(row, "region")?, string(row, "account")?);
            if *is_removal {
                found.remove(&key);
            } else {
                found.insert(key, (whole(row, "n")?, cents(row, "total")?));
            }
        }
        ensure!(
            found.len() == expected.len(),
            "{} keys instead of {}",
            found.len(),
            expected.len()
        );
        for (key, row) in &expected {
            let found = found.get(key);
            ensure!(found == Some(row), "{key:?}: {found:?} instead of {row:?}");
        }
        Ok(())
    }

    /// The join: orders over 900 with every owner of their account.
    fn owned_orders(self, changes: &[Change]) -> Result<()> {
        let expected = Orders::new(self.orders)
            .filter(|order| order.amount_cents > 90_000)
            .flat_map(|order| {
                let owners = owners_of(&order.account);
                owners.into_iter().map(move |owner| (order.id, owner))
            });
        same_rows(expected.collect(), changes, |row| {
            Ok((whole(row, "id")?, string(row, "owner")?))
        })
    }

    /// The dead letters: each statement has each broken record once.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn dead_letters(self, letters: &[DeadLetter]) -> Result<()> {
        let mut statements: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (statement, value) in letters {
            let is_new = statements.entry(statement).or_default().insert(value);
            ensure!(is_new, "{statement} has the dead letter {value} twice");
        }
        ensure!(
            statements.len() == INSERTS.len(),
            "dead letters of {} statements instead of {}",
            statements.len(),
            INSERTS.len()
        );
        let broken: Vec<String> = broken_records(self.orders).collect();
        let expected: BTreeSet<&str> = broken.iter().map(String::as_str).collect();
        for (statement, values) in &statements {
            if let Some(other) = values.symmetric_difference(&expected).next() {
                bail!(
                    "{statement} has {} dead letters instead of {}, different in {other}",
                    values.len(),
                    expected.len()
                );
            }
        }
        Ok(())
    }
}

/// Counts an order in its group.
fn add<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, Totals>, amount_cents: u64) {
    let (n, total) = entry.or_default();
    *n += 1;
    *total += amount_cents;
}

/// Compares appended rows, each of which is expected once.
fn same_rows<T: Ord + Debug>(
    mut expected: BTreeSet<T>,
    changes: &[Change],
    read: impl Fn(&Value) -> Result<T>,
) -> Result<()> {
    for Change { is_removal, row } in changes {
        ensure!(!is_removal, "a row is taken away: {row}");
        let found = read(row)?;
        ensure!(expected.remove(&found), "written twice, or wrong: {row}");
    }
    ensure!(
        expected.is_empty(),
        "{} rows are missing, such as {:?}",
        expected.len(),
        expected.first()
    );
    Ok(())
}

/// A member that must be a string.
fn string(json: &Value, name: &str) -> Result<String> {
    json[name]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("{name} in {json}"))
}

/// A time without trailing zeros, which Kafka's JSON leaves out and query results do not.
fn time(json: &Value, name: &str) -> Result<String> {
    let text = string(json, name)?;
    Ok(match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    })
}

/// A member that must be a whole number; query results have numbers as strings.
pub(crate) fn whole(json: &Value, name: &str) -> Result<u64> {
    let member = &json[name];
    member
        .as_u64()
        .or_else(|| member.as_str()?.parse().ok())
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
    let member = &json[name];
    let number: f64 = member
        .as_f64()
        .or_else(|| member.as_str()?.parse().ok())
        .with_context(|| format!("{name} in {json}"))?;
    ensure!(number >= 0.0, "{name} in {json} is negative");
    Ok((number * 100.0).round() as u64)
}
