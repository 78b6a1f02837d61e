//! The server killed again and again, with a real Kafka.
//!
//! Place in the flow: the statements of the main test, under `kill -9` by time and at the named points of the commit protocol. Invariant:
//! what a read-committed consumer sees is what an undisturbed run gives, row for row.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::generator::Orders;
use super::{PARTITIONS, STATEMENTS, results};
use crate::harness::{KafkaTools, Weir};

/// Records: enough that the statements are busy while they are killed.
const RECORDS: u64 = 80_000;

/// Points of the commit protocol, in the order in which an epoch passes them.
const POINTS: [&str; 4] = [
    "before-checkpoint",
    "after-checkpoint",
    "after-commit",
    "after-note",
];

/// Longest wait for a crash point: when the statements have completed before, it is not passed any more.
const POINT_SECONDS_MAX: u64 = 20;

/// Kills by time, unless `WEIR_TEST_KILLS` says how many.
const KILLS: u32 = 4;

/// Longest time between a start and a kill.
const KILL_MS_MAX: u64 = 1_500;

/// What makes runs long enough to be killed often.
const SETTINGS: &str = "
SET 'execution.checkpointing.interval' = '200 ms';
SET 'weir.cfu-cpu-share' = '0.08';
";

/// How many times the server is killed by time.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test for long runs by hand"
)]
fn kills() -> u32 {
    std::env::var("WEIR_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS)
}

/// Kills the server over and over; then the results must be those of an undisturbed run.
fn killed(parallelism: u32, seed: u64) -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let suffix = format!("kill-{parallelism}");
    let topic = |name: &str| KafkaTools::topic(&format!("{name}-{suffix}"));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.jsonl");
    Orders::new(RECORDS).write_to(&file)?;
    kafka.create_topic(&topic("orders"), PARTITIONS, &[])?;
    for name in ["large-orders", "device-windows", "account-totals"] {
        kafka.create_topic(&topic(name), 2, &[])?;
    }
    kafka.produce_lines(&topic("orders"), &file)?;
    let options = ["--kafka", kafka.bootstrap.as_str()];
    let mut weir = Weir::up(folder.path(), &options)?;
    let statements = STATEMENTS
        .replace("$K", &kafka.bootstrap)
        .replace("-$P", &format!("-{suffix}{}", KafkaTools::topic("")));
    weir.sql(&format!(
        "{SETTINGS}SET 'parallelism.default' = '{parallelism}';{statements}"
    ))?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut hits = [0; POINTS.len()];
    for round in 0..kills() {
        std::thread::sleep(Duration::from_millis(random.random_range(1..=KILL_MS_MAX)));
        drop(weir);
        let point = round as usize % POINTS.len();
        let passes = random.random_range(1..4);
        let name = format!("{}:{passes}", POINTS[point]);
        weir = Weir::up_to_crash(folder.path(), &options, &name)?;
        hits[point] += u32::from(weir.ends_within(POINT_SECONDS_MAX));
        drop(weir);
        weir = Weir::up(folder.path(), &options)?;
    }
    eprintln!("seed {seed}: crash points {POINTS:?} hit {hits:?}");
    assert!(hits.iter().sum::<u32>() > 0, "no crash point was hit");
    weir.wait_completed(180)?;
    results::check_large_orders(RECORDS, &kafka.consume(&topic("large-orders"))?)?;
    results::check_device_windows(RECORDS, &kafka.consume(&topic("device-windows"))?)?;
    results::check_account_totals(RECORDS, &kafka.consume(&topic("account-totals"))?)
}

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_one_slot() -> Result<()> {
    killed(1, 11)
}

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_three_slots() -> Result<()> {
    killed(3, 13)
}
