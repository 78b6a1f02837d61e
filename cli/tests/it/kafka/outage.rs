//! A broker that goes away while statements run, and comes back.
//!
//! Place in the flow: a broker of the test's own. Invariant: nobody does anything but start the broker again, and the committed rows are
//! those of an undisturbed run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::{Broker, Ending, KafkaTools, Weir, wait_for};
use crate::orders::{INSERTS, Kafka, Place, compare, feed, number_from, start};

/// Orders: with [`CPU_SHARE`], several times what the fastest statement reads before the slowest has committed.
const ORDERS: u64 = 80_000;

/// The share of a core of each slot.
const CPU_SHARE: f64 = 0.03;

/// Slots of each statement: more than one, so that splits and sinks of several slots lose the broker at once.
const SLOTS: u32 = 2;

/// How long the broker is away, unless `WEIR_TEST_ABSENCE_SECONDS` says it: long enough for calls to fail and be tried again.
const ABSENCE_SECONDS: u64 = 3;

/// How long statements may take to commit for the first time; a second on an idle machine.
const COMMIT_SECONDS_MAX: u64 = 60;

/// How long the rest may take: half a minute on an idle machine, of which the client takes up to ten seconds to find the broker again.
const REST_SECONDS_MAX: u64 = 180;

/// Waits until every statement has committed an epoch, and checks that none is done.
fn wait_for_commits(weir: &Weir) -> Result<()> {
    wait_for("every statement to commit", COMMIT_SECONDS_MAX, || {
        let meter = weir.meter()?;
        let statements = meter["statements"].as_array().context("no statements")?;
        let running = statements
            .iter()
            .filter(|statement| statement["job"].is_object());
        let mut committed = 0;
        for statement in running {
            ensure!(
                statement["phase"] == "RUNNING",
                "a statement is done before the broker goes: {statement}"
            );
            let epochs = &statement["job"]["checkpoints"]["completed_total"];
            committed += usize::from(epochs.as_u64().is_some_and(|epochs| epochs > 0));
        }
        Ok((committed == INSERTS.len()).then_some(()))
    })
}

/// Lets the broker go and come back while statements run, and compares.
fn absent(run: &str, ending: Ending) -> Result<()> {
    let Some(tools) = KafkaTools::find()? else {
        return Ok(());
    };
    let mut broker = Broker::new(&tools)?;
    let place = Kafka::new(broker.tools.clone(), run);
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &place.options())?;
    feed(&place, &weir, folder.path(), ORDERS)?;
    start(&weir, SLOTS, CPU_SHARE)?;
    wait_for_commits(&weir)?;
    broker.end(ending)?;
    let absence = number_from("WEIR_TEST_ABSENCE_SECONDS", ABSENCE_SECONDS);
    std::thread::sleep(Duration::from_secs(absence));
    broker.start()?;
    weir.wait_completed(REST_SECONDS_MAX)?;
    compare(&place, &weir, ORDERS)
}

#[test]
fn a_broker_that_is_stopped_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("stopped", Ending::Clean)
}

#[test]
fn a_broker_that_is_killed_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("killed", Ending::Kill)
}
