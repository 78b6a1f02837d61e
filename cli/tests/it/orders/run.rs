//! One run of the statements, from the first order to the comparison.
//!
//! Place in the flow: tests feed orders between the disturbances that they make. Invariant: statements run until the test ends them, so
//! that no disturbance comes too late, however fast the program was built.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::generator::{Orders, account_lines, broken_records, write_accounts};
use super::{Expected, INSERTS, Place, SOURCES, TOPICS, tables};
use crate::harness::{Weir, http_get, http_post, wait_for};

/// What keeps statements at work while they are disturbed, makes epochs short, lets another attempt come soon, and has watermarks wait for
/// every partition, since none is idle.
const SETTINGS: &str = "
SET 'weir.cfu-cpu-share' = '0.05';
SET 'execution.checkpointing.interval' = '200 ms';
SET 'restart-strategy.exponential-delay.max-backoff' = '2 s';
SET 'sql.tables.scan.idle-timeout' = '0 s';
";

/// How long statements may take to commit what they have not read yet, for each thousand orders, and at least. Half a second a thousand
/// is what the slowest takes in an unoptimised build with one slot; the rest is for a loaded machine and absent brokers.
const COMMIT_SECONDS: (u64, u64) = (3, 90);

/// How long drained statements may take to end: a second on an idle machine.
const END_SECONDS_MAX: u64 = 60;

/// Characters of a statement's checkpoints that a test that gives up prints: the newest is the first.
const CHECKPOINT_CHARS_MAX: usize = 600;

/// A number from the environment, for long runs by hand.
pub(crate) fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var_os(variable)
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(otherwise)
}

/// Statements and the orders that they were given.
pub(crate) struct Run<'a> {
    /// Where topics are.
    place: &'a dyn Place,
    /// Orders so far.
    orders: u64,
    /// For files.
    folder: TempDir,
}

impl<'a> Run<'a> {
    /// Makes topics and tables, and writes the accounts.
    ///
    /// # Errors
    /// When a command fails.
    pub(crate) fn new(place: &'a dyn Place, weir: &Weir) -> Result<Self> {
        place.prepare(&SOURCES.iter().chain(&TOPICS).collect::<Vec<_>>())?;
        weir.sql(&tables(place))?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("accounts");
        write_accounts(&file)?;
        place.produce(weir, &SOURCES[1], &file)?;
        Ok(Self {
            place,
            orders: 0,
            folder,
        })
    }

    /// Starts every statement. `WEIR_TEST_DELIVERY=AT_LEAST_ONCE` shows that what compares the outcome can fail.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) fn start(weir: &Weir, parallelism: u32) -> Result<()> {
        let delivery = std::env::var_os("WEIR_TEST_DELIVERY").unwrap_or("EXACTLY_ONCE".into());
        let statements = format!(
            "{SETTINGS}
            SET 'execution.checkpointing.mode' = '{}';
            SET 'parallelism.default' = '{parallelism}';
            {}",
            delivery.display(),
            INSERTS.concat()
        );
        weir.sql(&statements).map(drop)
    }

    /// Writes so many more orders, and broken records between them.
    ///
    /// # Errors
    /// When one is not taken.
    pub(crate) fn feed(&mut self, weir: &Weir, orders: u64) -> Result<()> {
        let file = self.folder.path().join("orders");
        let end = self.orders + orders;
        Orders::between(self.orders, end).write_with_broken(&file)?;
        self.place.produce(weir, &SOURCES[0], &file)?;
        self.orders = end;
        Ok(())
    }

    /// Waits until every statement has committed something.
    ///
    /// # Errors
    /// When one does not in time.
    pub(crate) fn wait_for_commits(weir: &Weir) -> Result<()> {
        wait_for("every statement to commit", COMMIT_SECONDS.1, || {
            let meter = weir.meter()?;
            let statements = meter["statements"].as_array().context("no statements")?;
            let committed = statements.iter().filter(|statement| {
                let epochs = &statement["job"]["checkpoints"]["completed_total"];
                epochs.as_u64().is_some_and(|epochs| epochs > 0)
            });
            Ok((committed.count() == INSERTS.len()).then_some(()))
        })
    }

    /// Waits until every statement has committed every record, and has all statements running meanwhile.
    ///
    /// # Errors
    /// When they do not in time.
    pub(crate) fn wait_committed(&self, weir: &Weir) -> Result<()> {
        let (per_thousand, least) = COMMIT_SECONDS;
        let seconds_max = least + self.orders * per_thousand / 1000;
        wait_for("all records to be committed", seconds_max, || {
            let mut committed = 0;
            for name in running(weir)? {
                committed += usize::from(self.has_committed(weir, &name)?);
            }
            Ok((committed == INSERTS.len()).then_some(()))
        })
        .with_context(|| state(weir))
    }

    /// Whether the newest checkpoint of a statement is behind every record of what it reads.
    fn has_committed(&self, weir: &Weir, statement: &str) -> Result<bool> {
        let path = format!("/weir/v1/statements/{statement}/checkpoints");
        let checkpoints: Value = serde_json::from_str(&http_get(&weir.address, &path)?)?;
        let Some(newest) = checkpoints["data"].get(0) else {
            return Ok(false);
        };
        let written = BTreeMap::from([
            (
                SOURCES[0].table,
                self.orders + broken_records(self.orders).count() as u64,
            ),
            (SOURCES[1].table, account_lines()),
        ]);
        let topics = newest["offsets"].as_object().context("no offsets")?;
        for (topic, offsets) in topics {
            let found = written.iter().find(|(table, _)| topic.starts_with(**table));
            let (_, expected) = found.with_context(|| format!("offsets of {topic}"))?;
            if offset_sum(offsets)? != *expected {
                return Ok(false);
            }
        }
        Ok(!topics.is_empty())
    }

    /// Lets the statements commit everything and end, and compares every output with what an undisturbed run gives.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn finish(&self, weir: &mut Weir) -> Result<()> {
        self.wait_committed(weir)?;
        let before = counts(weir);
        for name in running(weir)? {
            let path = format!("/weir/v1/statements/{name}:drain");
            http_post(&weir.address, &path, "")?;
        }
        weir.wait_completed(END_SECONDS_MAX)?;
        let expected = Expected {
            orders: self.orders,
        };
        expected
            .check(self.place, weir, TOPICS.len())
            .and_then(|()| expected.dead_letters(&self.place.dead_letters(weir)?))
            .with_context(|| before + &state(weir))
    }
}

/// Names of the statements that run.
fn running(weir: &Weir) -> Result<Vec<String>> {
    let phases = weir.phases()?;
    for (name, phase) in &phases {
        let is_over = ["FAILING", "FAILED", "STOPPED"].contains(&phase.as_str());
        ensure!(!is_over, "statement {name} is {phase}:\n{}", weir.log());
    }
    let names = phases
        .into_iter()
        .filter(|(_, phase)| phase == "RUNNING" || phase == "DEGRADED");
    Ok(names.map(|(name, _)| name).collect())
}

/// Where every statement is and what the server logged, for a test that gives up.
fn state(weir: &Weir) -> String {
    let mut text = String::new();
    for (name, phase) in weir.phases().unwrap_or_default() {
        let path = format!("/weir/v1/statements/{name}/checkpoints");
        let checkpoints = http_get(&weir.address, &path).unwrap_or_else(|error| error.to_string());
        let newest: String = checkpoints.chars().take(CHECKPOINT_CHARS_MAX).collect();
        text = format!("{text}{name} {phase}: {newest}\n");
    }
    counts(weir) + &text + &weir.log()
}

/// What every statement that runs has read, written and failed to do, a line each, for a test that gives up.
fn counts(weir: &Weir) -> String {
    let meter = weir.meter().unwrap_or_default();
    let statements = meter["statements"].as_array().into_iter().flatten();
    let lines = statements.map(|statement| {
        let job = &statement["job"];
        let splits = job["splits"].as_array().into_iter().flatten();
        let pending: Vec<String> = splits
            .map(|split| split["pending_records"].to_string())
            .collect();
        let tables = job["tables"].as_array().into_iter().flatten();
        let tables: Vec<String> = tables
            .map(|table| {
                let dead_letters = &table["dead_letters_total"];
                let records = &table["records_total"];
                format!("{} {records} and {dead_letters} dead", table["name"])
            })
            .collect();
        format!(
            "{} restarted {} times, {}, pending {pending:?}, {tables:?}\n",
            statement["name"], statement["restarts_total"], job["checkpoints"]
        )
    });
    lines.collect()
}

/// The sum of offsets such as `partition:0,offset:12;partition:1,offset:7`.
fn offset_sum(offsets: &Value) -> Result<u64> {
    let text = offsets.as_str().context("offsets are no text")?;
    text.split(';')
        .map(|split| {
            let (_, offset) = split.rsplit_once(':').with_context(|| text.to_owned())?;
            offset.parse::<u64>().with_context(|| text.to_owned())
        })
        .sum()
}

#[test]
fn offsets_are_summed_over_partitions() -> Result<()> {
    let offsets = Value::from("partition:0,offset:12;partition:1,offset:7");
    assert_eq!(offset_sum(&offsets)?, 19);
    assert!(offset_sum(&Value::from("partition")).is_err());
    Ok(())
}
