//! The tables: their fixed definitions, and random content.
//!
//! Place in the flow: the generator knows the definitions, the source gives the changes, the interpreter reads what they fold to.
//! Invariant: any part of a table's changes is valid again, so that the shrinker may leave out any of them; times are unique over all
//! tables, and no row is late.

use std::collections::BTreeMap;

use weir_runtime::RowKind;

use crate::random::Random;
use crate::value::{Row, Type, Value};

/// A table's definition.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its name.
    pub(crate) name: &'static str,
    /// Names, declared types and types of its columns.
    pub(crate) columns: &'static [(&'static str, &'static str, Type)],
    /// What follows the columns in its declaration.
    pub(crate) rest: &'static str,
    /// Its changelog mode.
    pub(crate) mode: &'static str,
    /// The time column, and how much later than a row an earlier one may come, milliseconds.
    pub(crate) time: Option<(usize, i64)>,
}

/// The tables.
pub(crate) static TABLES: [Definition; 9] = [
    Definition {
        name: "a0",
        columns: &[
            ("k", "INT", Type::Int),
            ("v", "BIGINT", Type::Int),
            ("s", "STRING", Type::Text),
            ("b", "BOOLEAN", Type::Bool),
            ("ts", "TIMESTAMP(3)", Type::Time),
        ],
        rest: ", WATERMARK FOR `ts` AS `ts` - INTERVAL '5' SECOND",
        mode: "append",
        time: Some((4, 5000)),
    },
    Definition {
        name: "a1",
        columns: &[
            ("ts", "TIMESTAMP(3)", Type::Time),
            ("k", "BIGINT", Type::Int),
            ("v", "INT NOT NULL", Type::Int),
            ("s", "STRING", Type::Text),
        ],
        rest: ", WATERMARK FOR `ts` AS `ts` - INTERVAL '2' SECOND",
        mode: "append",
        time: Some((0, 2000)),
    },
    Definition {
        name: "a2",
        columns: &[
            ("k", "INT", Type::Int),
            ("ts", "TIMESTAMP(3) NOT NULL", Type::Time),
            ("v", "INT", Type::Int),
        ],
        rest: ", WATERMARK FOR `ts` AS `ts` - INTERVAL '0.001' SECOND",
        mode: "append",
        time: Some((1, 1)),
    },
    Definition {
        name: "p0",
        columns: &[
            ("k", "INT", Type::Int),
            ("v", "INT", Type::Int),
            ("s", "STRING", Type::Text),
        ],
        rest: "",
        mode: "append",
        time: None,
    },
    Definition {
        name: "u0",
        columns: &[
            ("id", "INT NOT NULL", Type::Int),
            ("k", "INT", Type::Int),
            ("v", "BIGINT", Type::Int),
            ("s", "STRING", Type::Text),
        ],
        rest: ", PRIMARY KEY (`id`) NOT ENFORCED",
        mode: "upsert",
        time: None,
    },
    Definition {
        name: "r0",
        columns: &[
            ("k", "INT", Type::Int),
            ("v", "INT", Type::Int),
            ("b", "BOOLEAN", Type::Bool),
        ],
        rest: "",
        mode: "retract",
        time: None,
    },
    Definition {
        name: "r1",
        columns: &[
            ("id", "BIGINT NOT NULL", Type::Int),
            ("s", "STRING", Type::Text),
            ("k", "BIGINT", Type::Int),
        ],
        rest: ", PRIMARY KEY (`id`) NOT ENFORCED",
        mode: "retract",
        time: None,
    },
    Definition {
        name: "h0",
        columns: &[
            ("k", "BIGINT", Type::Int),
            ("s", "STRING", Type::Text),
            ("ts", "TIMESTAMP(3)", Type::Time),
            ("v", "BIGINT", Type::Int),
        ],
        rest: ", WATERMARK FOR `ts` AS `ts` - INTERVAL '0.001' SECOND",
        mode: "append",
        time: Some((2, 1)),
    },
    Definition {
        name: "v0",
        columns: &[
            ("id", "BIGINT NOT NULL", Type::Int),
            ("ts", "TIMESTAMP(3) NOT NULL", Type::Time),
            ("v", "BIGINT", Type::Int),
            ("s", "STRING", Type::Text),
        ],
        rest: ", PRIMARY KEY (`id`) NOT ENFORCED, WATERMARK FOR `ts` AS `ts` - INTERVAL '3' SECOND",
        mode: "upsert",
        time: Some((1, 3000)),
    },
];

/// The append table whose rows of one key, the first column, come in the order of time: only then does the last row of a key have all of
/// them as versions.
/// Its numbers are BIGINT, so that what they are compared with is cast and they are not, which Flink wants of the key of versions.
pub(crate) const HISTORY: usize = 7;

/// The table with a primary key and event time. Nothing is deleted from it: as of which time that counts depends on when it comes.
pub(crate) const VERSIONED: usize = 8;

/// Texts that there are: short, in each other, and empty.
pub(crate) const TEXTS: [&str; 6] = ["", "a", "b", "ab", "B", "zz"];

/// A change of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Which row changes; rows of append tables are all different ones.
    pub(crate) slot: usize,
    /// What it is from now on; absent when it goes away.
    pub(crate) row: Option<Row>,
}

/// The content of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    /// The changes in the order in which they come.
    pub(crate) changes: Vec<Change>,
}

/// Milliseconds in which the random times lie, from the beginning.
const SPAN_S: i64 = 40;

/// Parts of a second at which times lie: at its ends, where windows begin and end, and between.
const PARTS_MS: [i64; 4] = [0, 1, 500, 999];

/// Where times begin: at a day's beginning, and soon after 1970. Flink takes what lies before for late in interval joins and bounded frames
/// of OVER, whose clocks begin there.
const BEGINNINGS_MS: [i64; 2] = [1_704_067_200_000, 86_400_000];

impl Definition {
    /// The SQL that declares it.
    pub(crate) fn sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, ty, _)| format!("`{name}` {ty}"))
            .collect();
        format!(
            "CREATE TABLE `{}` ({}{}) WITH ('connector' = 'blackhole')",
            self.name,
            columns.join(", "),
            self.rest
        )
    }

    /// Whether its rows never change.
    pub(crate) fn is_append(&self) -> bool {
        self.mode == "append"
    }

    /// What rows that must stay in order have in common.
    pub(crate) fn lane(&self, slot: usize, row: &Row) -> usize {
        if self.name == TABLES[HISTORY].name {
            usize::try_from(row[0].int()).unwrap_or_default()
        } else {
            slot
        }
    }
}

/// A value of a type that is no time.
pub(crate) fn value(random: &mut Random, ty: Type, name: &str) -> Value {
    match ty {
        Type::Bool => Value::Bool(random.once_in(2)),
        Type::Int | Type::Time if name == "k" => Value::Int(random.between(0, 4)),
        Type::Int | Type::Time => Value::Int(random.between(-3, 9)),
        Type::Text => Value::text(random.pick(&TEXTS)),
    }
}

/// Different times in random order.
#[derive(Debug)]
struct Times(Vec<i64>);

impl Times {
    /// All there are.
    fn new(random: &mut Random) -> Self {
        let beginning = random.pick(&BEGINNINGS_MS);
        let seconds = 0..SPAN_S;
        let mut all: Vec<i64> = seconds
            .flat_map(|second| PARTS_MS.map(|part| beginning + second * 1000 + part))
            .collect();
        for index in (1..all.len()).rev() {
            all.swap(index, random.below(index + 1));
        }
        Self(all)
    }

    /// Another one. After all of them there are no more; tables are smaller.
    fn next(&mut self) -> i64 {
        self.0.pop().unwrap_or_default()
    }
}

/// Random content for every table.
pub(crate) fn contents(random: &mut Random) -> Vec<Content> {
    let mut times = Times::new(random);
    let rows_max = random.pick(&[2, 6, 12, 12, 20]);
    TABLES
        .iter()
        .map(|table| {
            let rows = random.below(rows_max + 1);
            let mut changes: Vec<Change> = (0..rows)
                .map(|number| change(random, table, number, &mut times))
                .collect();
            if let Some((time, delay_ms)) = table.time {
                // A row comes when its time and a part of the delay have passed, so that none is behind the watermark.
                changes.sort_by_cached_key(|change| {
                    let row = change.row.as_ref();
                    row.map_or(0, |row| row[time].int()) + random.between(0, delay_ms - 1)
                });
            }
            Content { changes }
        })
        .collect()
}

/// A random change.
fn change(random: &mut Random, table: &Definition, number: usize, times: &mut Times) -> Change {
    let slot = if table.is_append() {
        number
    } else {
        random.below(6)
    };
    let is_delete = !table.is_append() && table.time.is_none() && random.once_in(4);
    let columns = table.columns.iter();
    let row = columns.map(|(name, declared, ty)| match ty {
        Type::Time => Value::Int(times.next()),
        _ if *name == "id" => Value::Int(i64::try_from(slot).unwrap_or_default()),
        _ if !declared.ends_with("NOT NULL") && random.once_in(6) => Value::Null,
        ty => value(random, *ty, name),
    });
    let row: Row = row.collect();
    Change {
        slot,
        row: (!is_delete).then_some(row),
    }
}

impl Content {
    /// What the table holds in the end.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut slots: BTreeMap<usize, &Row> = BTreeMap::new();
        for change in &self.changes {
            match &change.row {
                Some(row) => slots.insert(change.slot, row),
                None => slots.remove(&change.slot),
            };
        }
        slots.into_values().cloned().collect()
    }

    /// All rows that there ever were.
    pub(crate) fn history(&self) -> Vec<Row> {
        let changes = self.changes.iter();
        changes.filter_map(|change| change.row.clone()).collect()
    }

    /// The changelog as the source gives it, with the slot that each row belongs to.
    pub(crate) fn changelog(&self, table: &Definition) -> Vec<(usize, RowKind, Row)> {
        let mut slots: BTreeMap<usize, Row> = BTreeMap::new();
        let mut changelog = Vec::new();
        for Change { slot, row } in &self.changes {
            let before = match row {
                Some(row) => slots.insert(*slot, row.clone()),
                None => slots.remove(slot),
            };
            let mut add = |kind, row| changelog.push((*slot, kind, row));
            match (table.mode, before, row) {
                ("upsert", _, None) => {
                    // Only the key is known of what goes away; nobody may know it.
                    let id = Value::Int(i64::try_from(*slot).unwrap_or_default());
                    let nulls = vec![Value::Null; table.columns.len() - 1];
                    add(RowKind::Delete, [vec![id], nulls].concat());
                }
                ("upsert", _, Some(row)) | (_, None, Some(row)) => {
                    add(RowKind::Insert, row.clone());
                }
                (_, None, None) => {}
                (_, Some(before), None) => add(RowKind::Delete, before),
                (_, Some(before), Some(row)) => {
                    add(RowKind::UpdateBefore, before);
                    add(RowKind::UpdateAfter, row.clone());
                }
            }
        }
        changelog
    }
}
