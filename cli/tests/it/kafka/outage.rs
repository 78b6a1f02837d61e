//! A broker that goes away while statements run, and comes back.
//!
//! Place in the flow: a broker of the test's own. Invariant: nobody does anything but start the broker again, and the committed rows are
//! those of an undisturbed run.

use std::time::Duration;

use anyhow::Result;

use crate::harness::{Broker, Ending, KafkaTools, Weir};
use crate::orders::{Kafka, Place, Run, number_from};

/// Orders before the broker goes, of which a part is committed, and again when it is back.
const ORDERS: u64 = 10_000;

/// Slots of each statement: more than one, so that splits and sinks of several slots lose the broker at once.
const SLOTS: u32 = 2;

/// How long the broker is away, unless `WEIR_TEST_ABSENCE_SECONDS` says it: long enough for calls to fail and be tried again.
const ABSENCE_SECONDS: u64 = 3;

/// Lets the broker go and come back while statements run, and compares.
fn absent(run: &str, ending: Ending) -> Result<()> {
    let Some(tools) = KafkaTools::find()? else {
        return Ok(());
    };
    let mut broker = Broker::new(&tools)?;
    let place = Kafka::new(broker.tools.clone(), run);
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &place.options())?;
    let mut run = Run::new(&place, &weir)?;
    run.start(&weir, SLOTS)?;
    run.feed(&weir, ORDERS)?;
    run.wait_for_commits(&weir)?;
    broker.end(ending)?;
    let absence = number_from("WEIR_TEST_ABSENCE_SECONDS", ABSENCE_SECONDS);
    std::thread::sleep(Duration::from_secs(absence));
    broker.start()?;
    run.feed(&weir, ORDERS)?;
    run.finish(&mut weir)
}

#[test]
fn a_broker_that_is_stopped_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("stopped", Ending::Clean)
}

#[test]
fn a_broker_that_is_killed_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("killed", Ending::Kill)
}
