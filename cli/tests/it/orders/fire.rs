//! The server killed again and again while statements run.
//!
//! Place in the flow: one run over Kafka or over the embedded log, under `kill -9` by time and at the named points of the commit
//! protocol. Invariant: what a reader of committed records sees in the end is what an undisturbed run gives, row for row.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Expected, INSERTS, Orders, Place, SOURCES, TOPICS, tables, write_accounts};
use crate::harness::Weir;

/// Orders for each kill by time: with [`CPU_SHARE`], what four statements do not finish between two kills.
const ORDERS_PER_KILL: u64 = 12_000;

/// Points of the commit protocol, in the order in which an epoch passes them.
const POINTS: [&str; 4] = [
    "before-checkpoint",
    "after-checkpoint",
    "after-commit",
    "after-note",
];

/// Longest wait for a crash point, which is passed several times a second: the rest is for a loaded machine.
const POINT_SECONDS_MAX: u64 = 60;

/// Kills by time, unless `WEIR_TEST_KILLS` says how many: each crash point once, so that CI can afford it.
const KILLS: u64 = 4;

/// Longest time between a start and a kill: several epochs.
const KILL_MS_MAX: u64 = 1_500;

/// How long the rest may take when the killing is over, for each kill: a guess from 4 s.
const REST_SECONDS_PER_KILL: u64 = 45;

/// The share of a core that makes runs long enough to be killed often.
const CPU_SHARE: f64 = 0.08;

/// What makes epochs short, and another attempt come soon.
const SETTINGS: &str = "
SET 'execution.checkpointing.interval' = '200 ms';
SET 'restart-strategy.exponential-delay.max-backoff' = '2 s';
";

/// A run under fire.
#[derive(Debug)]
pub(crate) struct Fire {
    /// Slots of each statement.
    pub(crate) parallelism: u32,
    /// What moments and points of crashes are drawn from.
    pub(crate) seed: u64,
}

/// A number from the environment, for long runs by hand.
pub(crate) fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var_os(variable)
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(otherwise)
}

/// Starts every statement with a share of a core for each slot. `WEIR_TEST_DELIVERY=AT_LEAST_ONCE` shows that what compares the outcome can fail.
///
/// # Errors
/// When one does not start.
pub(crate) fn start(weir: &Weir, parallelism: u32, cpu_share: f64) -> Result<()> {
    let delivery = std::env::var_os("WEIR_TEST_DELIVERY").unwrap_or("EXACTLY_ONCE".into());
    let statements = format!(
        "{SETTINGS}
        SET 'execution.checkpointing.mode' = '{}';
        SET 'parallelism.default' = '{parallelism}';
        SET 'weir.cfu-cpu-share' = '{cpu_share}';
        {}",
        delivery.display(),
        INSERTS.concat()
    );
    weir.sql(&statements).map(drop)
}

/// Makes topics and tables, and writes orders, broken records and accounts.
///
/// # Errors
/// When a command fails.
pub(crate) fn feed(place: &dyn Place, weir: &Weir, folder: &Path, orders: u64) -> Result<()> {
    place.prepare(&SOURCES.iter().chain(&TOPICS).collect::<Vec<_>>())?;
    weir.sql(&tables(place))?;
    let file = folder.join("lines");
    Orders::new(orders).write_with_broken(&file)?;
    place.produce(weir, &SOURCES[0], &file)?;
    write_accounts(&file)?;
    place.produce(weir, &SOURCES[1], &file)
}

/// Compares every output with what an undisturbed run gives.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(place: &dyn Place, weir: &Weir, orders: u64) -> Result<()> {
    let expected = Expected { orders };
    expected.check(place, weir, TOPICS.len())?;
    expected.dead_letters(&place.dead_letters(weir)?)
}

impl Fire {
    /// Starts the statements, kills the server over and over, and compares.
    ///
    /// # Errors
    /// When a server does not start again, a statement fails, or a row differs.
    pub(crate) fn run(&self, place: &dyn Place) -> Result<()> {
        let kills = number_from("WEIR_TEST_KILLS", KILLS);
        let orders = kills * ORDERS_PER_KILL;
        let folder = tempfile::tempdir()?;
        let options = place.options();
        let mut weir = Weir::up(folder.path(), &options)?;
        feed(place, &weir, folder.path(), orders)?;
        start(&weir, self.parallelism, CPU_SHARE)?;
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut hits = [0; POINTS.len()];
        for (_, at) in (0..kills).zip((0..POINTS.len()).cycle()) {
            std::thread::sleep(Duration::from_millis(random.random_range(1..=KILL_MS_MAX)));
            drop(weir);
            let point = format!("{}:{}", POINTS[at], random.random_range(1..4));
            let doomed = Weir::up_to_crash(folder.path(), &options, &point)?;
            hits[at] += u64::from(doomed.crashes(POINT_SECONDS_MAX)?);
            weir = Weir::up(folder.path(), &options)?;
        }
        // Written past the capture of the test runner: the hits are what a long run is made for.
        writeln!(
            std::io::stderr(),
            "parallelism {}, seed {}: killed {kills} times by time, and at the points {POINTS:?} {hits:?} times",
            self.parallelism,
            self.seed
        )?;
        weir.wait_completed(kills * REST_SECONDS_PER_KILL)?;
        compare(place, &weir, orders)?;
        ensure!(
            hits.iter().all(|hit| *hit > 0),
            "a crash point was not hit: statements had completed before"
        );
        Ok(())
    }
}
