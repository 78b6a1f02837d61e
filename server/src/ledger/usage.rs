//! Usage reports: ledger rows grouped, billed and priced.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::cfu::{CfuMillis, CfuPrice, MINUTE_MS};

use super::Charge;
use crate::time::rfc3339;

/// What rows of a report stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// One row per statement and pool.
    #[default]
    Statement,
    /// One row per pool.
    Pool,
    /// One row per statement, pool and minute.
    Minute,
}

/// A row of a report; what it is grouped by is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Statement name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub statement: Option<String>,
    /// Statement uid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub statement_uid: Option<String>,
    /// Pool id.
    pub pool_id: String,
    /// Start of the minute, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minute: Option<String>,
    /// Slot-milliseconds held.
    pub slot_ms: u64,
    /// Billed CFU-milliseconds: exact.
    pub cfu_millis: u64,
    /// Billed CFU-minutes.
    pub cfu_minutes: f64,
    /// Dollars.
    pub cost: f64,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Rows, by pool, statement and minute.
    pub data: Vec<UsageRow>,
    /// Their sum.
    pub total: UsageTotal,
}

/// The sum of a report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UsageTotal {
    /// Billed CFU-milliseconds: exact.
    pub cfu_millis: u64,
    /// Billed CFU-minutes.
    pub cfu_minutes: f64,
    /// Dollars.
    pub cost: f64,
}

/// The identity of a report's row, in the order of the report.
type Key = (String, Option<String>, Option<String>, Option<i64>);

/// Groups ledger rows, each of which is billed by itself.
pub fn group(rows: Vec<Charge>, by: GroupBy, price: CfuPrice) -> Usage {
    let mut groups: BTreeMap<Key, (u64, CfuMillis)> = BTreeMap::new();
    for row in rows {
        let minute_ms = row.minute * MINUTE_MS.cast_signed();
        let key = match by {
            GroupBy::Pool => (row.pool_id, None, None, None),
            GroupBy::Statement => (row.pool_id, Some(row.name), Some(row.uid), None),
            GroupBy::Minute => (row.pool_id, Some(row.name), Some(row.uid), Some(minute_ms)),
        };
        let group = groups.entry(key).or_default();
        group.0 += row.slot_ms;
        group.1 = group.1 + CfuMillis::billed_minute(row.slot_ms);
    }
    let total: CfuMillis = groups.values().map(|(_, billed)| *billed).sum();
    let data = groups
        .into_iter()
        .map(
            |((pool_id, statement, statement_uid, minute_ms), (slot_ms, billed))| UsageRow {
                statement,
                statement_uid,
                pool_id,
                minute: minute_ms.map(rfc3339),
                slot_ms,
                cfu_millis: billed.0,
                cfu_minutes: billed.minutes(),
                cost: price.cost(billed).as_f64(),
            },
        )
        .collect();
    Usage {
        data,
        total: UsageTotal {
            cfu_millis: total.0,
            cfu_minutes: total.minutes(),
            cost: price.cost(total).as_f64(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger row.
    fn row(uid: &str, minute: i64, slot_ms: u64) -> Charge {
        Charge {
            uid: uid.to_owned(),
            name: format!("name-{uid}"),
            pool_id: "lfcp-local".to_owned(),
            minute,
            slot_ms,
        }
    }

    #[test]
    fn every_minute_is_billed_by_itself_whatever_the_grouping() {
        let rows = vec![row("a", 1, 10), row("a", 2, 90_000), row("b", 1, 60_000)];
        for by in [GroupBy::Pool, GroupBy::Statement, GroupBy::Minute] {
            let usage = group(rows.clone(), by, CfuPrice::default());
            assert_eq!(usage.total.cfu_millis, 60_000 + 90_000 + 60_000, "{by:?}");
            let sum: u64 = usage.data.iter().map(|row| row.cfu_millis).sum();
            assert_eq!(sum, usage.total.cfu_millis, "{by:?}");
        }
        let by_statement = group(rows, GroupBy::Statement, CfuPrice::default());
        assert_eq!(by_statement.data.len(), 2);
        assert_eq!(by_statement.data[0].cfu_millis, 150_000);
        assert!((by_statement.total.cost - 3.5 * 0.0035).abs() < 1e-9);
    }
}
