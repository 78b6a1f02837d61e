//! The server killed again and again while statements run.
//!
//! Place in the flow: one run over Kafka or over the embedded log, under `kill -9` by time and at the named points of the commit
//! protocol. Invariant: what a reader of committed records sees in the end is what an undisturbed run gives, row for row.

use std::io::Write;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Place, Run, number_from};
use crate::harness::Weir;

/// Orders that come before each kill: at a small share of a core, about a second of work.
const ORDERS: u64 = 4_000;

/// Points of the commit protocol, in the order in which an epoch passes them.
const POINTS: [&str; 4] = [
    "before-checkpoint",
    "after-checkpoint",
    "after-commit",
    "after-note",
];

/// Most passes of a crash point before the crash: each statement passes it at least once for orders that it has not read.
const PASSES_MAX: u64 = 3;

/// Longest wait for a crash point, which is passed several times a second: the rest is for a loaded machine.
const POINT_SECONDS_MAX: u64 = 30;

/// Kills by time, unless `WEIR_TEST_KILLS` says how many: each crash point once, so that CI can afford it.
const KILLS: u64 = 4;

/// Longest time between new orders and a kill: several epochs.
const KILL_MS_MAX: u64 = 1_000;

/// A run under fire.
#[derive(Debug)]
pub(crate) struct Fire {
    /// Slots of each statement.
    pub(crate) parallelism: u32,
    /// What moments and points of crashes are drawn from.
    pub(crate) seed: u64,
}

impl Fire {
    /// Starts the statements, kills the server over and over while orders come, and compares.
    ///
    /// # Errors
    /// When a server does not start again, a statement fails, or a row differs.
    pub(crate) fn run(&self, place: &dyn Place) -> Result<()> {
        let kills = number_from("WEIR_TEST_KILLS", KILLS);
        let folder = tempfile::tempdir()?;
        let options = place.options();
        let mut weir = Weir::up(folder.path(), &options)?;
        let mut run = Run::new(place, &weir)?;
        run.start(&weir, self.parallelism)?;
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut hits = [0; POINTS.len()];
        for (_, at) in (0..kills).zip((0..POINTS.len()).cycle()) {
            run.feed(&weir, ORDERS)?;
            std::thread::sleep(Duration::from_millis(random.random_range(1..=KILL_MS_MAX)));
            // Without new records there are no epochs, and no crash point is passed.
            if place.outlives_server() {
                weir.kill()?;
                run.feed(&weir, ORDERS)?;
            } else {
                run.feed(&weir, ORDERS)?;
                weir.kill()?;
            }
            let passes = random.random_range(1..=PASSES_MAX);
            let point = format!("{}:{passes}", POINTS[at]);
            let doomed = Weir::up_to_crash(folder.path(), &options, &point)?;
            hits[at] += u64::from(doomed.crashes_within(POINT_SECONDS_MAX)?);
            weir = Weir::up(folder.path(), &options)?;
        }
        // Written past the capture of the test runner: the hits are what a long run is made for.
        writeln!(
            std::io::stderr(),
            "parallelism {}, seed {}: killed {kills} times by time, and at the points {POINTS:?} {hits:?} times",
            self.parallelism,
            self.seed
        )?;
        run.finish(&mut weir)?;
        ensure!(
            hits.iter().sum::<u64>() == kills,
            "a crash point was not passed"
        );
        Ok(())
    }
}
