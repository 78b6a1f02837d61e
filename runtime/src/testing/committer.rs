//! The suite of [`crate::checkpoint::commit::Committer`] and the writers that go with it.
//!
//! Place in the flow: tests of each transactional system call [`committer_suite`] with a [`Harness`]. Invariant: a case uses topics
//! and a statement of its own, so that cases may run at the same time.

use std::collections::BTreeMap;

use super::run::{Harness, Owner, Run, Seen};
use crate::checkpoint::commit::EpochRecord;
use crate::error::{Error, Kind, Result};

/// A case: its name and what it does.
pub type Case = (&'static str, fn(&dyn Harness) -> Result<()>);

/// Every case.
pub const CASES: [Case; 10] = [
    ("a commit shows rows and record", a_commit_shows),
    ("an open epoch shows nothing", an_open_epoch_shows_nothing),
    ("an empty epoch commits", an_empty_epoch_commits),
    ("two epochs are open at once", two_epochs_are_open),
    ("epochs are committed in order", epochs_in_order),
    ("a crash before a commit", a_crash_before_a_commit),
    ("a crash with two epochs open", a_crash_with_two_open),
    ("a stale twin is fenced", a_stale_twin_is_fenced),
    ("keys keep their order", keys_keep_their_order),
    ("sinks commit together", sinks_commit_together),
];

/// Runs every case.
///
/// # Errors
/// The first failure, with the name of its case.
pub fn committer_suite(harness: &dyn Harness) -> Result<()> {
    for (name, case) in CASES {
        case(harness).map_err(|error| error.context(name))?;
    }
    Ok(())
}

/// An error unless two values are the same.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{what}: expected {expected:?}, found {found:?}"
    )))
}

/// An error unless a topic shows these values, in any order.
fn shows(harness: &dyn Harness, topic: &str, values: &[&str]) -> Result<()> {
    let mut seen: Vec<String> = harness
        .committed(topic)?
        .into_iter()
        .map(|seen| seen.value)
        .collect();
    seen.sort_unstable();
    let mut expected: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    expected.sort_unstable();
    same("committed values", &seen, &expected)
}

/// An error unless the newest record is that of this epoch.
fn recorded(run: &Run, epoch: Option<u64>) -> Result<()> {
    let expected: Option<EpochRecord> = epoch.map(|epoch| run.record(epoch));
    same("committed record", &run.committer().committed()?, &expected)
}

/// An error unless the outcome is a conflict.
fn conflicts(what: &str, outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind == Kind::Conflict => Ok(()),
        Err(error) => Err(Error::internal(format!(
            "{what}: expected a conflict, found {:?}: {error}",
            error.kind
        ))),
        Ok(()) => Err(Error::internal(format!("{what}: expected a conflict"))),
    }
}

/// Rows and record of an epoch are seen together, by this run and by the next.
fn a_commit_shows(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    recorded(&run, None)?;
    run.epoch(harness, 1, &[("a", "1"), ("b", "2"), ("", "3")])?;
    shows(harness, &topic, &["1", "2", "3"])?;
    recorded(&run, Some(1))?;
    run.epoch(harness, 2, &[("a", "4")])?;
    shows(harness, &topic, &["1", "2", "3", "4"])?;
    recorded(&run, Some(2))?;
    harness.kill(run)?;
    let again = Run::fence(harness, &owner, &topic)?;
    recorded(&again, Some(2))?;
    shows(harness, &topic, &["1", "2", "3", "4"])
}

/// Flushed rows are not seen before the commit, and neither is a record.
fn an_open_epoch_shows_nothing(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    run.begin(1)?;
    run.write(harness, 0, &[("a", "1")])?;
    run.flush(harness)?;
    shows(harness, &topic, &[])?;
    recorded(&run, None)?;
    run.commit(1)?;
    shows(harness, &topic, &["1"])
}

/// An epoch may have no rows; its record counts all the same.
fn an_empty_epoch_commits(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    run.epoch(harness, 1, &[("a", "1")])?;
    run.begin(2)?;
    run.flush(harness)?;
    run.commit(2)?;
    recorded(&run, Some(2))?;
    shows(harness, &topic, &["1"])
}

/// The next epoch is written while the one before waits for its commit.
fn two_epochs_are_open(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    run.begin(1)?;
    run.write(harness, 0, &[("a", "1")])?;
    run.flush(harness)?;
    run.begin(2)?;
    run.write(harness, 0, &[("a", "2")])?;
    run.flush(harness)?;
    shows(harness, &topic, &[])?;
    run.commit(1)?;
    shows(harness, &topic, &["1"])?;
    recorded(&run, Some(1))?;
    run.begin(3)?;
    run.write(harness, 0, &[("a", "3")])?;
    run.commit(2)?;
    recorded(&run, Some(2))?;
    run.flush(harness)?;
    run.commit(3)?;
    recorded(&run, Some(3))?;
    let values: Vec<String> = harness
        .committed(&topic)?
        .into_iter()
        .map(|seen| seen.value)
        .collect();
    same(
        "values of one key",
        &values,
        &["1", "2", "3"].map(str::to_owned).to_vec(),
    )
}

/// A third epoch, and a commit of the younger of two, are bugs of the caller.
fn epochs_in_order(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    run.begin(1)?;
    run.begin(2)?;
    for (what, outcome) in [
        ("a third epoch", run.committer().begin(3)),
        ("the younger first", run.commit(2)),
        ("an unknown epoch", run.commit(7)),
    ] {
        let kind = outcome.err().map(|error| error.kind);
        same(what, &kind, &Some(Kind::Internal))?;
    }
    run.commit(1)?;
    run.commit(2)?;
    recorded(&run, Some(2))
}

/// What was flushed and not committed is gone, and is written again by the next run.
fn a_crash_before_a_commit(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    run.epoch(harness, 1, &[("a", "1")])?;
    run.begin(2)?;
    run.write(harness, 0, &[("a", "2"), ("b", "3")])?;
    run.flush(harness)?;
    harness.kill(run)?;

    let mut again = Run::start(harness, &owner, &[&topic])?;
    recorded(&again, Some(1))?;
    shows(harness, &topic, &["1"])?;
    again.epoch(harness, 2, &[("a", "2"), ("b", "3")])?;
    shows(harness, &topic, &["1", "2", "3"])?;
    recorded(&again, Some(2))
}

/// Two open epochs are lost together, and one that was committed before is not.
fn a_crash_with_two_open(harness: &dyn Harness) -> Result<()> {
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic])?;
    for epoch in 1..=2 {
        run.begin(epoch)?;
        run.write(harness, 0, &[("a", &epoch.to_string())])?;
        run.flush(harness)?;
    }
    harness.kill(run)?;
    let mut run = Run::start(harness, &owner, &[&topic])?;
    recorded(&run, None)?;
    shows(harness, &topic, &[])?;
    for epoch in 1..=2 {
        run.begin(epoch)?;
        run.write(harness, 0, &[("a", &epoch.to_string())])?;
        run.flush(harness)?;
    }
    run.commit(1)?;
    harness.kill(run)?;
    let run = Run::fence(harness, &owner, &topic)?;
    recorded(&run, Some(1))?;
    shows(harness, &topic, &["1"])
}

/// A run that was taken over can neither write nor commit, in the epoch that was open or in the next.
fn a_stale_twin_is_fenced(harness: &dyn Harness) -> Result<()> {
    for stale_writes in [false, true] {
        let (owner, topic) = (Owner::unique(), harness.create_topic()?);
        let mut stale = Run::start(harness, &owner, &[&topic])?;
        stale.epoch(harness, 1, &[("a", "1")])?;
        stale.begin(2)?;
        stale.write(harness, 0, &[("a", "stale")])?;
        stale.flush(harness)?;

        let mut run = Run::start(harness, &owner, &[&topic])?;
        if stale_writes {
            stale.write(harness, 0, &[("a", "staler")])?;
            conflicts("flush", stale.flush(harness))?;
        }
        conflicts("commit", stale.commit(2))?;
        recorded(&run, Some(1))?;
        run.epoch(harness, 2, &[("a", "2")])?;
        if !stale_writes {
            let next = stale
                .begin(3)
                .and_then(|()| stale.write(harness, 0, &[("a", "stale")]))
                .and_then(|()| stale.flush(harness))
                .and_then(|()| stale.commit(3));
            conflicts("the next epoch", next)?;
        }
        run.epoch(harness, 3, &[("a", "3")])?;
        shows(harness, &topic, &["1", "2", "3"])?;
        recorded(&run, Some(3))?;
    }
    Ok(())
}

/// Epochs that overlap leave the records of a key in order.
fn keys_keep_their_order(harness: &dyn Harness) -> Result<()> {
    const EPOCHS: u64 = 12;
    const KEYS: usize = 4;
    const ROUNDS: usize = 50;
    let (owner, topic) = (Owner::unique(), harness.create_topic()?);
    let mut run = Run::start(harness, &owner, &[&topic, &topic])?;
    let mut number = 0;
    for epoch in 1..=EPOCHS {
        run.begin(epoch)?;
        for _ in 0..ROUNDS {
            // A key belongs to one writer, as keyed exchanges have it.
            for key in 0..KEYS {
                let (key_text, value) = (format!("key-{key}"), format!("{number:06}"));
                run.write(harness, key % 2, &[(&key_text, &value)])?;
                number += 1;
            }
        }
        if epoch > 1 {
            run.commit(epoch - 1)?;
        }
        run.flush(harness)?;
    }
    run.commit(EPOCHS)?;
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Seen { key, value } in harness.committed(&topic)? {
        by_key.entry(key).or_default().push(value);
    }
    let count: usize = by_key.values().map(Vec::len).sum();
    same("records", &count, &number)?;
    for (key, values) in by_key {
        same(&format!("{key} in order"), &values.is_sorted(), &true)?;
    }
    Ok(())
}

/// Four writers of two topics and one of dead letters: all of an epoch, or nothing of it.
fn sinks_commit_together(harness: &dyn Harness) -> Result<()> {
    let owner = Owner::unique();
    let topics = [
        harness.create_topic()?,
        harness.create_topic()?,
        harness.create_topic()?,
    ];
    let [first, second, dead] = &topics;
    let writers = [first, first, second, second, dead].map(String::as_str);
    for (life, values) in [("lost", ["-"; 3]), ("kept", ["0", "2", "4"])] {
        let mut run = Run::start(harness, &owner, &writers)?;
        recorded(&run, None)?;
        run.begin(1)?;
        for index in 0..writers.len() {
            run.write(harness, index, &[("", &index.to_string())])?;
        }
        run.flush(harness)?;
        if life == "lost" {
            harness.kill(run)?;
        } else {
            run.commit(1)?;
        }
        for (topic, value) in topics.iter().zip(values) {
            let found = harness
                .committed(topic)?
                .iter()
                .any(|seen| seen.value == value);
            same(&format!("{life} in {topic}"), &found, &(life == "kept"))?;
        }
    }
    shows(harness, first, &["0", "1"])?;
    shows(harness, second, &["2", "3"])?;
    shows(harness, dead, &["4"])
}
