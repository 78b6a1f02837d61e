//! A broker that goes away while statements run, and comes back.
//!
//! Place in the flow: a broker of the test's own. Invariant: nobody does anything but start the broker again, and the committed rows are
//! those of an undisturbed run. `WEIR_TEST_ABSENCES` takes the broker away more often, for long runs by hand.

use std::time::Duration;

use anyhow::Result;

use crate::harness::{Broker, Ending, KafkaTools, Weir, kept_folder};
use crate::orders::{Kafka, Place, Run, number_from};

/// Orders that are committed in part when the broker goes, those that come just before it goes, and those that come when it is back.
const ORDERS: u64 = 6_000;

/// Slots of each statement: more than one, so that splits and sinks of several slots lose the broker at once.
const SLOTS: u32 = 2;

/// How long the broker is away, unless `WEIR_TEST_ABSENCE_SECONDS` says it: long enough for calls to fail and be tried again.
const ABSENCE_SECONDS: u64 = 3;

/// What happens while the broker is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// The server waits for it.
    Wait,
    /// The server is killed, and starts without it.
    Kill,
}

/// Lets the broker go and come back while statements run, and compares.
fn absent(run: &str, ending: Ending, meanwhile: Meanwhile) -> Result<()> {
    let Some(tools) = KafkaTools::find()? else {
        return Ok(());
    };
    let mut broker = Broker::new(&tools)?;
    let place = Kafka::new(broker.tools.clone(), run);
    let folder = kept_folder()?;
    let mut weir = Weir::up(folder.path(), &place.options())?;
    let mut run = Run::new(&place, &weir)?;
    Run::start(&weir, SLOTS)?;
    run.feed(&weir, ORDERS)?;
    Run::wait_for_commits(&weir)?;
    let absence = number_from("WEIR_TEST_ABSENCE_SECONDS", ABSENCE_SECONDS);
    for _ in 0..number_from("WEIR_TEST_ABSENCES", 1) {
        // Some of these are written and not committed when the broker goes.
        run.feed(&weir, ORDERS)?;
        broker.end(ending)?;
        if meanwhile == Meanwhile::Kill {
            drop(weir);
            weir = Weir::up(folder.path(), &place.options())?;
        }
        std::thread::sleep(Duration::from_secs(absence));
        broker.start()?;
    }
    run.feed(&weir, ORDERS)?;
    run.finish(&mut weir)
}

#[test]
fn a_broker_that_is_stopped_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("stopped", Ending::Clean, Meanwhile::Wait)
}

#[test]
fn a_broker_that_is_killed_and_started_costs_no_row_and_doubles_none() -> Result<()> {
    absent("killed", Ending::Kill, Meanwhile::Wait)
}

#[test]
fn a_server_that_starts_without_its_broker_goes_on_when_it_is_back() -> Result<()> {
    absent("both", Ending::Kill, Meanwhile::Kill)
}
