//! Tables and statements over the orders.
//!
//! Place in the flow: every test over orders runs these. Invariant: each kind of state that a checkpoint holds is there: none, windows,
//! groups, both sides of a join, and positions of dead letters.

use super::place::{Place, Role};

/// Partitions of what is read: more than one, so that watermarks are merged.
pub(super) const SOURCE_PARTITIONS: u32 = 4;

/// Partitions of what is written: more than one, so that keys are spread.
const SINK_PARTITIONS: u32 = 2;

/// A table and its topic.
#[derive(Debug)]
pub(crate) struct Topic {
    /// The table's name.
    pub(crate) table: &'static str,
    /// Its columns.
    columns: &'static str,
    /// What it is for.
    pub(crate) role: Role,
    /// Partitions.
    pub(crate) partitions: u32,
}

/// What is read: orders and accounts.
pub(crate) static SOURCES: [Topic; 2] = [
    Topic {
        table: "orders",
        columns: "id BIGINT, account STRING, device STRING, amount DECIMAL(10, 2), qty INT, ts TIMESTAMP(3), region STRING, \
                  url STRING, tag STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND",
        role: Role::Source,
        partitions: SOURCE_PARTITIONS,
    },
    Topic {
        table: "accounts",
        columns: "account STRING, owner STRING",
        role: Role::Source,
        partitions: SOURCE_PARTITIONS,
    },
];

/// What is written: by a filter, a window, a group and a join.
pub(crate) static TOPICS: [Topic; 4] = [
    Topic {
        table: "large_orders",
        columns: "id BIGINT, account STRING, region STRING, total DECIMAL(12, 2), ts TIMESTAMP(3)",
        role: Role::Append,
        partitions: SINK_PARTITIONS,
    },
    Topic {
        table: "device_windows",
        columns: "window_start TIMESTAMP(3), device STRING, n BIGINT, total DECIMAL(20, 2)",
        role: Role::Append,
        partitions: SINK_PARTITIONS,
    },
    Topic {
        table: "account_totals",
        columns: "region STRING, account STRING, n BIGINT, total DECIMAL(20, 2), PRIMARY KEY (region, account) NOT ENFORCED",
        role: Role::Upsert,
        partitions: SINK_PARTITIONS,
    },
    Topic {
        table: "owned_orders",
        columns: "id BIGINT, owner STRING",
        role: Role::Append,
        partitions: SINK_PARTITIONS,
    },
];

/// The statements, in the order of what they write.
pub(crate) const INSERTS: [&str; 4] = [
    "INSERT INTO large_orders
       SELECT id, account, region, CAST(amount * qty AS DECIMAL(12, 2)), ts FROM orders WHERE amount > 500;",
    "INSERT INTO device_windows
       SELECT window_start, device, COUNT(*), CAST(SUM(amount) AS DECIMAL(20, 2))
       FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))
       GROUP BY window_start, window_end, device;",
    "INSERT INTO account_totals
       SELECT region, account, COUNT(*), CAST(SUM(amount) AS DECIMAL(20, 2)) FROM orders GROUP BY region, account;",
    "INSERT INTO owned_orders
       SELECT o.id, a.owner FROM orders AS o JOIN accounts AS a ON o.account = a.account WHERE o.amount > 900;",
];

/// The tables; records of a source that do not decode go to the error table.
pub(crate) fn tables(place: &dyn Place) -> String {
    let errors = place.errors();
    let table = |topic: &Topic| {
        let handling = match topic.role {
            Role::Source => {
                format!(", 'error-handling.mode' = 'log', 'error-handling.log.target' = '{errors}'")
            }
            Role::Append | Role::Upsert => String::new(),
        };
        let clauses = place.clauses(topic, &handling);
        format!(
            "CREATE TABLE {} ({}) {clauses};\n",
            topic.table, topic.columns
        )
    };
    SOURCES.iter().chain(&TOPICS).map(table).collect()
}
