//! The program with a real Apache Kafka.
//!
//! Place in the flow: needs the broker and Kafka's own tools. Invariant: what is expected is computed from the generated numbers, so that
//! nothing of the program checks itself.

mod edges;
mod kill;
mod outage;
mod statements;

use anyhow::Result;

use crate::demo::run_demo;
use crate::harness::{KafkaTools, Weir};
use crate::orders::{Expected, INSERTS, Kafka, Orders, Place, SOURCES, TOPICS, tables};

/// Records of the main test.
///
/// # Source
/// The first release's acceptance: 1,000,000 records through real Kafka.
const RECORDS: u64 = 1_000_000;

/// How long all statements may take together.
///
/// # Source
/// A guess from a floor of 30,000 records per second and statement in an unoptimised build; the suite's budget is the real limit.
const RUN_SECONDS_MAX: u64 = 120;

/// Statements of the main test: all but the join, which the kill tests have.
const STATEMENTS: usize = 3;

#[test]
fn a_million_orders_give_the_results_computed_beside_them() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let place = Kafka::new(kafka.clone(), "main");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.jsonl");
    Orders::new(RECORDS).write_to(&file)?;
    let topics = SOURCES[..1].iter().chain(&TOPICS[..STATEMENTS]);
    place.prepare(&topics.collect::<Vec<_>>())?;
    let mut weir = Weir::up(folder.path(), &place.options())?;
    place.produce(&weir, &SOURCES[0], &file)?;
    weir.sql(&tables(&place))?;
    let bounded = "SET 'sql.tables.scan.bounded.mode' = 'latest-offset';";
    weir.sql(&format!("{bounded}{}", INSERTS[..STATEMENTS].concat()))?;
    weir.wait_completed(RUN_SECONDS_MAX)?;
    Expected { orders: RECORDS }.check(&place, &weir, STATEMENTS)?;
    // Kafka's own consumer, too, reads what was written.
    let windows = &TOPICS[1];
    let read = kafka.consume(&place.name(windows))?;
    assert_eq!(read.len(), place.read(&weir, windows)?.len());
    Ok(())
}

#[test]
fn the_demo_adds_up_on_kafka() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    run_demo(&["--kafka", &kafka.bootstrap])
}

#[test]
fn the_tools_write_and_read_what_was_generated() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.jsonl");
    Orders::new(1000).write_to(&file)?;
    let topic = KafkaTools::topic("tools");
    kafka.create_topic(&topic, 2, &[])?;
    kafka.produce_lines(&topic, &file)?;
    let mut read: Vec<String> = kafka
        .consume(&topic)?
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let mut written: Vec<String> = Orders::new(1000).map(|order| order.json()).collect();
    read.sort();
    written.sort();
    assert_eq!(read, written);
    Ok(())
}
