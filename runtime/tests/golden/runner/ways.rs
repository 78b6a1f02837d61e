//! The four ways in which a case is run.
//!
//! Place in the flow: the harness runs each of them in a world of its own. Invariant: all ways read the same records in the same order per
//! partition; what differs is how many at a time, in how many slots, and what happens in between.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Result;
use super::case::Case;
use super::input::{Record, Step};
use super::script::Script;
use super::world::{End, Running, World};

/// Time between checkpoints where they are to be frequent.
const OFTEN: Duration = Duration::from_millis(2);

/// Time between checkpoints where none is wanted.
const NEVER: Duration = Duration::from_hours(1);

/// How often a job is cancelled in the way with faults.
const CRASHES: usize = 3;

/// Longest time that a job runs before it is cancelled.
const CRASH_DELAY_MS_MAX: u64 = 8;

/// A way to run a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// One slot, records in few large batches, no checkpoints.
    Single,
    /// Two slots, record by record, checkpoints all the time.
    Checkpoints,
    /// Two slots, stopped in the middle of the input, and on with three.
    Restored,
    /// Two slots, cancelled several times at seeded moments, each time on from the newest checkpoint.
    Faults,
}

impl Way {
    /// Every way, in the order they are run.
    pub(crate) const ALL: [Self; 4] = [
        Self::Single,
        Self::Checkpoints,
        Self::Restored,
        Self::Faults,
    ];

    /// What is different in this way, for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Single => "at parallelism 1",
            Self::Checkpoints => "at parallelism 2 with checkpoints",
            Self::Restored => "stopped half-way and restored at parallelism 3",
            Self::Faults => "cancelled at random and restarted",
        }
    }

    /// Runs a case; its end and its topics.
    ///
    /// # Errors
    /// When something does not happen in time.
    pub(crate) fn run<'a>(
        self,
        case: &'a Case,
        script: &'a Script,
        seed: u64,
    ) -> Result<(End, World<'a>)> {
        let mut world = World::new(case, script)?;
        let steps = interleaved(case);
        let end = match self {
            Self::Single => single(&mut world, &steps),
            Self::Checkpoints => checkpoints(&mut world, &steps),
            Self::Restored => restored(&mut world, &steps),
            Self::Faults => {
                let seed = xxh3_64_with_seed(case.name.as_bytes(), seed);
                faults(&mut world, &steps, &mut StdRng::seed_from_u64(seed))
            }
        }?;
        Ok((end, world))
    }
}

/// A step and its table.
type TableStep<'a> = (&'a str, &'a Step);

/// The steps of all tables, one of each table in turn.
fn interleaved(case: &Case) -> Vec<TableStep<'_>> {
    let longest = case.input.values().map(Vec::len).max().unwrap_or(0);
    let mut steps = Vec::new();
    for index in 0..longest {
        for (table, own) in &case.input {
            steps.extend(own.get(index).map(|step| (table.as_str(), step)));
        }
    }
    steps
}

/// Appends everything up to the next watermark, as one batch per table and partition; what is left.
fn feed_batch<'a, 'b>(
    world: &mut World<'_>,
    steps: &'b [TableStep<'a>],
) -> Result<&'b [TableStep<'a>]> {
    let end = steps
        .iter()
        .position(|(_, step)| matches!(step, Step::Watermark(_)))
        .unwrap_or(steps.len());
    let mut tables: Vec<(&str, Vec<Record>)> = Vec::new();
    for (table, step) in &steps[..end] {
        if let Step::Record(record) = step {
            match tables.iter_mut().find(|(name, _)| name == table) {
                Some((_, records)) => records.push(record.clone()),
                None => tables.push((table, vec![record.clone()])),
            }
        }
    }
    for (table, records) in tables {
        world.append(table, &records)?;
    }
    Ok(&steps[end..])
}

/// Appends records one by one and waits for watermarks.
fn feed_one_by_one(world: &mut World<'_>, steps: &[TableStep<'_>]) -> Result<()> {
    for (table, step) in steps {
        match step {
            Step::Record(record) => world.append(table, std::slice::from_ref(record))?,
            Step::Watermark(watermark_ms) => world.await_watermark(table, *watermark_ms)?,
        }
    }
    Ok(())
}

/// One slot, few large batches.
fn single(world: &mut World<'_>, steps: &[TableStep<'_>]) -> Result<End> {
    let mut rest = feed_batch(world, steps)?;
    let running = Running {
        parallelism: 1,
        checkpoint_interval: NEVER,
    };
    if let failed @ End::Failed(_) = world.start(running) {
        return Ok(failed);
    }
    while let [(table, Step::Watermark(watermark_ms)), others @ ..] = rest {
        world.await_watermark(table, *watermark_ms)?;
        rest = feed_batch(world, others)?;
    }
    world.seal()?;
    world.finish()
}

/// Two slots, record by record.
fn checkpoints(world: &mut World<'_>, steps: &[TableStep<'_>]) -> Result<End> {
    let running = Running {
        parallelism: 2,
        checkpoint_interval: OFTEN,
    };
    if let failed @ End::Failed(_) = world.start(running) {
        return Ok(failed);
    }
    // At least one checkpoint is in the middle of the input.
    let (first, second) = steps.split_at(steps.len() / 2);
    feed_one_by_one(world, first)?;
    world.await_checkpoint()?;
    feed_one_by_one(world, second)?;
    world.seal()?;
    world.finish()
}

/// Where to stop: behind the watermark that is nearest to the middle, so that none is waited for that came before, or in the middle.
fn middle(steps: &[TableStep<'_>]) -> usize {
    let half = steps.len() / 2;
    let behind_watermarks = steps
        .iter()
        .enumerate()
        .filter(|(_, (_, step))| matches!(step, Step::Watermark(_)))
        .map(|(index, _)| index + 1);
    behind_watermarks
        .min_by_key(|index| index.abs_diff(half))
        .unwrap_or(half)
}

/// Two slots until the middle, three from there.
fn restored(world: &mut World<'_>, steps: &[TableStep<'_>]) -> Result<End> {
    let (first, second) = steps.split_at(middle(steps));
    let running = |parallelism| Running {
        parallelism,
        checkpoint_interval: NEVER,
    };
    if let failed @ End::Failed(_) = world.start(running(2)) {
        return Ok(failed);
    }
    feed_one_by_one(world, first)?;
    world.await_read()?;
    if let failed @ End::Failed(_) = world.stop()? {
        return Ok(failed);
    }
    if let failed @ End::Failed(_) = world.start(running(3)) {
        return Ok(failed);
    }
    feed_one_by_one(world, second)?;
    world.seal()?;
    world.finish()
}

/// Two slots, cancelled at random.
fn faults(world: &mut World<'_>, steps: &[TableStep<'_>], random: &mut StdRng) -> Result<End> {
    let running = Running {
        parallelism: 2,
        checkpoint_interval: OFTEN,
    };
    let mut rest = steps;
    for _ in 0..CRASHES {
        if let failed @ End::Failed(_) = world.start(running) {
            return Ok(failed);
        }
        let (now, later) = rest.split_at(random.random_range(0..=rest.len()));
        rest = later;
        feed_one_by_one(world, now)?;
        let delay = Duration::from_millis(random.random_range(0..=CRASH_DELAY_MS_MAX));
        world.await_some(random.random_range(0..=now.len() as u64 + 1), delay);
        if random.random_bool(0.5) {
            world.await_checkpoint()?;
        }
        if let failed @ End::Failed(_) = world.cancel()? {
            return Ok(failed);
        }
    }
    if let failed @ End::Failed(_) = world.start(running) {
        return Ok(failed);
    }
    feed_one_by_one(world, rest)?;
    world.seal()?;
    world.finish()
}
