//! Random queries over random tables: the runtime against a naive interpreter.
//!
//! Place in the flow: `cargo xtask test` runs it as the suite `differential`. Invariant: every query, its tables and the order in which
//! slots act follow from a seed, which failures name; the interpreter shares nothing with the runtime.
//!
//! `WEIR_TEST_DIFFERENTIAL_QUERIES` says how many queries are made, `WEIR_TEST_DIFFERENTIAL_SEED` where their seeds begin, and
//! `WEIR_TEST_DIFFERENTIAL_SECONDS` when no more are begun. With `WEIR_TEST_DIFFERENTIAL_GOLDEN=DIR` queries are not run but written
//! there as golden cases, which `golden/flink.py DIR/*` runs in a real Flink.

#![expect(
    clippy::print_stdout,
    reason = "how many queries of which shape were run is for people"
)]

mod case;
mod evaluate;
mod expression;
mod fault;
mod generate;
mod golden;
mod output;
mod print;
mod random;
mod relation;
mod shape;
mod shrink;
mod source;
mod summary;
mod tables;
mod traits;
mod value;
mod world;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use case::{Case, Difference, Outcome};
use fault::Fault;
use shrink::Shrinker;
use summary::Summary;
use weir_runtime::plan::explain::explain;
use weir_runtime::time::SystemClock;
use world::World;

/// Queries unless more are asked for: CI's.
const QUERIES: u64 = 2_000;

/// Seconds after which no more queries are begun unless more are asked for: CI's.
const SECONDS: u64 = 120;

/// Queries within which a planted fault must be noticed.
const FAULTY_QUERIES_MAX: u64 = 1_000;

/// Differences after which no more are looked for.
const DIFFERENCES_MAX: usize = 10;

/// A text from the environment.
fn text_from(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how much is done is asked of a test from outside"
    )]
    std::env::var(name).ok()
}

/// A number from the environment.
fn number_from(name: &str, default: u64) -> u64 {
    text_from(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// What is wrong with the case of a seed, and with a smaller one.
fn report(world: &World, seed: u64, case: &Case, difference: &Difference) -> String {
    let smallest = Shrinker { world, fault: None }.smallest(case.clone());
    let smaller = match smallest.check(world, None) {
        Outcome::Different(smaller) => smaller.to_string(),
        other => format!("{other:?}"),
    };
    let plan = world.plan(&smallest.outputs);
    let plan = plan.map_or_else(|error| error.to_string(), |plan| explain(&plan));
    format!(
        "seed {seed}: WEIR_TEST_DIFFERENTIAL_SEED={seed} WEIR_TEST_DIFFERENTIAL_QUERIES=1\n{case}\n{difference}\nsmallest:\n{smallest}\n{smaller}\n{plan}"
    )
}

/// Writes cases as golden ones.
fn write_golden(folder: &Path, seeds: Range<u64>) {
    for seed in seeds {
        let case = Case::new(seed);
        if let Ok(expected) = case.expected() {
            golden::write(&folder.join(format!("seed-{seed}")), &case, &expected)
                .expect("the folder takes files");
        }
    }
}

#[test]
fn random_queries_have_the_results_of_the_interpreter() {
    let first = number_from("WEIR_TEST_DIFFERENTIAL_SEED", 0);
    let queries = number_from("WEIR_TEST_DIFFERENTIAL_QUERIES", QUERIES);
    let seconds = number_from("WEIR_TEST_DIFFERENTIAL_SECONDS", SECONDS);
    if let Some(folder) = text_from("WEIR_TEST_DIFFERENTIAL_GOLDEN") {
        return write_golden(Path::new(&folder), first..first + queries);
    }
    let clock = SystemClock::shared();
    let until = clock.monotonic() + Duration::from_secs(seconds);
    let world = World::new().expect("the tables are taken");
    let mut summary = Summary::default();
    let mut reports = Vec::new();
    for seed in first..first + queries {
        if clock.monotonic() > until || reports.len() >= DIFFERENCES_MAX {
            break;
        }
        let case = Case::new(seed);
        let outcome = case.check(&world, None);
        summary.add(&case, &outcome);
        if let Outcome::Different(difference) = &outcome {
            reports.push(report(&world, seed, &case, difference));
        }
    }
    assert!(reports.is_empty(), "{}\n\n{summary}", reports.join("\n\n"));
    println!("{summary}");
    let queries = summary.queries();
    assert!(
        queries < 100 || summary.with_rows() > queries / 10,
        "hardly any query has a result:\n{summary}"
    );
    assert!(
        queries < 100 || summary.refused() < queries / 20,
        "the generator makes queries that are refused:\n{summary}"
    );
}

/// The queries after which a planted fault is noticed.
#[cfg(debug_assertions)]
fn noticed_after(fault: Fault) -> Option<u64> {
    let world = World::new().expect("the tables are taken");
    (0..FAULTY_QUERIES_MAX).find(|seed| {
        let case = Case::new(*seed);
        let is_wrong = |fault| matches!(case.check(&world, fault), Outcome::Different(_));
        is_wrong(Some(fault)) && !is_wrong(None)
    })
}

#[cfg(debug_assertions)]
#[test]
fn a_dropped_retraction_is_noticed() {
    let noticed = noticed_after(Fault::DroppedRetraction);
    println!("noticed by query {noticed:?}");
    assert!(noticed.is_some());
}

#[cfg(debug_assertions)]
#[test]
fn a_window_with_its_end_in_it_is_noticed() {
    let noticed = noticed_after(Fault::WindowEndIncluded);
    println!("noticed by query {noticed:?}");
    assert!(noticed.is_some());
}
