//! Seeds.
//!
//! `WEIR_TEST_SEEDS=FIRST..END` runs those instead of the fixed ones; a seed that fails is printed, and `WEIR_TEST_SEEDS=SEED..SEED+1`
//! shows it again.

use std::ops::Range;

use super::world::{Counts, Summary, World};
use crate::fault::{Fault, plant};

/// Seeds of each run of CI. Measured on one core: 17 ms a seed in the dev profile, 3.4 ms in that of CI.
const SEEDS: Range<u64> = 0..2_500;

/// Names the seeds that are run instead.
const SEEDS_VARIABLE: &str = "WEIR_TEST_SEEDS";

/// Seeds within which a planted mistake must be noticed.
const NOTICED_WITHIN: u64 = 10_000;

/// What the fixed seeds must have met, so that they do not pass for want of faults.
const MUST_HAPPEN: [&str; 13] = [
    "committed checkpoint lost",
    "damage",
    "fenced",
    "finished",
    "killed",
    "killed while it started",
    "merge",
    "outage",
    "overslept",
    "paused",
    "rescale",
    "timed-out transaction",
    "twin",
];

/// The seeds to run.
fn seeds() -> Range<u64> {
    let Some(text) = std::env::var_os(SEEDS_VARIABLE) else {
        return SEEDS;
    };
    let text = text.into_string().expect("FIRST..END");
    let (first, end) = text.split_once("..").expect("FIRST..END");
    let number = |text: &str| text.parse().expect("a seed is a number");
    number(first)..number(end)
}

/// Runs a seed.
fn run(seed: u64) -> Result<Summary, String> {
    World::new(seed, true).run()
}

#[test]
fn undisturbed_seeds_end_in_one_life() {
    for seed in 0..50 {
        let summary = World::new(seed, false).run();
        let summary = summary.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        assert_eq!((summary.life_count, summary.failure), (1, None), "{seed}");
    }
}

#[test]
fn every_seed_ends_with_each_change_once() {
    let mut failures = Vec::new();
    let mut counts = Counts::new();
    let (mut lives, mut turns) = (0, 0);
    let seeds = seeds();
    for seed in seeds.clone() {
        match run(seed) {
            Ok(summary) => {
                lives += summary.life_count;
                turns += summary.turn_count;
                for (what, count) in summary.counts {
                    *counts.entry(what).or_default() += count;
                }
            }
            Err(wrong) => {
                eprintln!("seed {seed}: {wrong}");
                failures.push(seed);
                if failures.len() == 10 {
                    break;
                }
            }
        }
    }
    eprintln!("{seeds:?}: {lives} lives, {turns} turns, {counts:?}");
    assert!(
        failures.is_empty(),
        "seeds {failures:?} failed; {SEEDS_VARIABLE}={}..{} shows the first one again",
        failures.first().copied().unwrap_or_default(),
        failures.first().map_or(0, |seed| seed + 1)
    );
    if seeds == SEEDS {
        for what in MUST_HAPPEN {
            let count = counts.get(what).copied().unwrap_or_default();
            assert!(count > 0, "no seed has: {what}");
        }
    }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// The first seed that notices a mistake with a message that contains this.
fn noticed(fault: Fault, by: &str) -> Option<u64> {
    plant(Some(fault));
    let noticed = (0..NOTICED_WITHIN).find_map(|seed| {
        let wrong = run(seed).err()?;
        wrong.contains(by).then_some((seed, wrong))
    });
    plant(None);
    let (seed, wrong) = noticed?;
    eprintln!("{fault:?}: seed {seed}: {wrong}");
    Some(seed)
}

#[test]
fn a_commit_before_the_checkpoint_is_durable_is_noticed() {
    assert!(noticed(Fault::CommitBeforeCheckpoint, "is missing; go on from").is_some());
}

#[test]
fn a_start_from_the_newest_checkpoint_is_noticed() {
    assert!(noticed(Fault::RestoreNewest, "expected").is_some());
}

#[test]
fn a_start_that_fences_nobody_is_noticed() {
    assert!(noticed(Fault::NoFence, "expected").is_some());
}
