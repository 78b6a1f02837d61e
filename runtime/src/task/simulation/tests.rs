//! Seeds.
//!
//! `WEIR_TEST_SEEDS=FIRST..END` runs those instead of the fixed ones; a seed that fails is printed, and `WEIR_TEST_SEEDS=SEED..SEED+1`
//! shows it again.

use std::ops::Range;

use super::world::{Summary, World};
use crate::fault::{Fault, plant};

/// Seeds of each run of CI: about a minute in the dev profile on one core, measured.
const SEEDS: Range<u64> = 0..1_000;

/// Names the seeds that are run instead.
const SEEDS_VARIABLE: &str = "WEIR_TEST_SEEDS";

/// Seeds within which a planted mistake must be noticed.
const NOTICED_WITHIN: u64 = 10_000;

/// The seeds to run.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var(SEEDS_VARIABLE) else {
        return SEEDS;
    };
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
    let mut lives = 0;
    let mut refused = 0;
    let seeds = seeds();
    for seed in seeds.clone() {
        match run(seed) {
            Ok(summary) => {
                lives += summary.life_count;
                refused += usize::from(summary.failure.is_some());
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
    eprintln!("{seeds:?}: {lives} lives, {refused} beyond help");
    assert!(
        failures.is_empty(),
        "seeds {failures:?} failed; {SEEDS_VARIABLE}={}..{} shows the first one again",
        failures[0],
        failures[0] + 1
    );
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// The first seed that notices a mistake.
fn noticed(fault: Fault) -> Option<u64> {
    plant(Some(fault));
    let noticed = (0..NOTICED_WITHIN).find(|seed| run(*seed).is_err());
    plant(None);
    noticed
}

#[test]
fn a_commit_before_the_checkpoint_is_durable_is_noticed() {
    assert!(noticed(Fault::CommitBeforeCheckpoint).is_some());
}

#[test]
fn a_start_from_the_newest_checkpoint_is_noticed() {
    assert!(noticed(Fault::RestoreNewest).is_some());
}

#[test]
fn a_start_that_fences_nobody_is_noticed() {
    assert!(noticed(Fault::NoFence).is_some());
}
