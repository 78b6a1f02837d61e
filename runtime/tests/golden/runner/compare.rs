//! Whether what was written is what was expected.
//!
//! Place in the flow: after every way. Invariant: a changelog is folded to the rows that it leaves before it is compared, so that how
//! often a row was updated on the way does not matter.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Result;
use super::output::{Mode, Written};

/// Rows of a difference that are printed; the rest is counted.
const DIFF_ROWS_MAX: usize = 20;

/// Whether the order of appended rows counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It does not.
    Any,
    /// Rows are as they were expected, one by one.
    Kept,
}

/// The rows that a table ends with; in the order of partitions and offsets for appended ones, of keys otherwise.
///
/// # Errors
/// When a row is retracted that was not there.
pub(crate) fn fold(written: &Written) -> Result<Vec<String>> {
    let changes = &written.changes;
    match written.mode {
        Mode::Append => Ok(changes
            .iter()
            .filter_map(|change| change.row.clone())
            .collect()),
        Mode::Upsert => {
            let mut rows = BTreeMap::new();
            for change in changes {
                match &change.row {
                    Some(row) => rows.insert(&change.key, row.clone()),
                    None => rows.remove(&change.key),
                };
            }
            Ok(rows.into_values().collect())
        }
        Mode::Retract => {
            let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
            for change in changes {
                if let Some(row) = &change.row {
                    *counts.entry(row).or_default() += if change.is_retraction { -1 } else { 1 };
                }
            }
            let mut rows = Vec::new();
            for (row, count) in counts {
                let Ok(count) = usize::try_from(count) else {
                    return Err(format!("{row} was retracted more often than inserted"));
                };
                rows.extend(std::iter::repeat_n(row.clone(), count));
            }
            Ok(rows)
        }
    }
}

/// What differs, as text; nothing when the table is as expected.
///
/// # Errors
/// As [`fold`].
pub(crate) fn difference(
    expected: &[String],
    written: &Written,
    order: Order,
) -> Result<Option<String>> {
    let actual = fold(written)?;
    if order == Order::Kept && expected != actual {
        let mut text = String::from("the order differs; written were\n");
        for row in actual.iter().take(DIFF_ROWS_MAX) {
            writeln!(text, "    {row}").expect("writing to a string cannot fail");
        }
        return Ok(Some(text));
    }
    Ok(difference_of_multisets(expected, &actual))
}

/// How often each row is expected, less how often it is there.
fn balance<'a>(expected: &'a [String], actual: &'a [String]) -> BTreeMap<&'a String, i64> {
    let mut balance: BTreeMap<&String, i64> = BTreeMap::new();
    for row in expected {
        *balance.entry(row).or_default() += 1;
    }
    for row in actual {
        *balance.entry(row).or_default() -= 1;
    }
    balance
}

/// Compares how often every row is there.
fn difference_of_multisets(expected: &[String], actual: &[String]) -> Option<String> {
    let mut lines = Vec::new();
    for (row, count) in balance(expected, actual) {
        let sign = if count > 0 { "- " } else { "+ " };
        for _ in 0..count.unsigned_abs() {
            lines.push(format!("{sign}{row}"));
        }
    }
    report(&lines)
}

/// The text of a difference.
fn report(lines: &[String]) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let mut text = String::from("- is missing, + is there and not expected\n");
    for line in lines.iter().take(DIFF_ROWS_MAX) {
        writeln!(text, "    {line}").expect("writing to a string cannot fail");
    }
    if lines.len() > DIFF_ROWS_MAX {
        writeln!(text, "    and {} more", lines.len() - DIFF_ROWS_MAX)
            .expect("writing to a string cannot fail");
    }
    Some(text)
}
