//! Which transactions are committed, and what each statement has committed last.
//!
//! Place in the flow: lines of the journal go in; readers ask about the id of a batch. Invariant: pure; memory grows with the number of
//! aborted transactions and of statements, not with that of commits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::TransactionId;

/// Everything that is known after the lines of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Transactions, by generation.
    generations: BTreeMap<u32, Generation>,
    /// Newest committed record, by statement uid.
    records: BTreeMap<String, (i64, String)>,
    /// Numbers below are in no batch any more.
    floor: i64,
}

/// The transactions of one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Generation {
    /// Highest counter that was committed.
    highest: u64,
    /// Counters below it that were not.
    missing: BTreeSet<u64>,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// Everything before; the first line, and only that.
    Snapshot(Snapshot),
    /// A transaction was committed.
    Commit(Commit),
    /// A statement is gone, and with it its record.
    Forget(Forget),
}

/// The first line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Snapshot {
    /// The generation of the process that wrote it.
    pub(super) generation: u32,
    /// Numbers below are in no batch any more.
    floor: i64,
    /// Generations that committed something, ascending.
    generations: Vec<StoredGeneration>,
    /// Newest committed record of each statement.
    records: Vec<Commit>,
}

/// A generation in the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct StoredGeneration {
    /// Its number.
    generation: u32,
    /// Highest counter that was committed.
    highest: u64,
    /// Counters below it that were not, ascending.
    missing: Vec<u64>,
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Commit {
    /// Its number.
    pub(super) id: i64,
    /// Uid of the statement.
    pub(super) owner: String,
    /// Text of its epoch record.
    pub(super) record: String,
}

/// A statement that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Forget {
    /// Uid of the statement.
    pub(super) owner: String,
}

impl Table {
    /// Whether readers may see the batches of a transaction.
    pub(super) fn is_committed(&self, id: TransactionId) -> bool {
        let generation = self
            .generations
            .get(&id.generation())
            .filter(|_| id.to_i64() >= self.floor);
        generation.is_some_and(|generation| {
            let counter = id.counter();
            counter <= generation.highest && !generation.missing.contains(&counter)
        })
    }

    /// The newest record of a statement.
    pub(super) fn record(&self, owner: &str) -> Option<&str> {
        self.records.get(owner).map(|(_, record)| record.as_str())
    }

    /// Notes a commit. Counters that were skipped are not committed, as long as they do not come later.
    pub(super) fn commit(&mut self, commit: Commit) {
        let id = TransactionId::from_i64(commit.id);
        let counter = id.counter();
        let generation = self.generations.entry(id.generation()).or_default();
        if counter > generation.highest {
            generation.missing.extend(generation.highest + 1..counter);
            generation.highest = counter;
        } else {
            generation.missing.remove(&counter);
        }
        self.records
            .insert(commit.owner, (commit.id, commit.record));
    }

    /// Forgets the record of a statement; what it has committed stays.
    pub(super) fn forget(&mut self, owner: &str) {
        self.records.remove(owner);
    }

    /// Forgets numbers that are in no batch any more.
    pub(super) fn prune(&mut self, floor: TransactionId) {
        self.floor = self.floor.max(floor.to_i64());
        let first = floor.generation();
        self.generations = self.generations.split_off(&first);
        if let Some(generation) = self.generations.get_mut(&first) {
            generation.missing = generation.missing.split_off(&floor.counter());
        }
    }

    /// Entries that only grow until they are pruned.
    pub(super) fn entries(&self) -> usize {
        let missing = self
            .generations
            .values()
            .map(|generation| generation.missing.len());
        self.generations.len() + missing.sum::<usize>()
    }

    /// Everything as a first line.
    pub(super) fn snapshot(&self, generation: u32) -> Snapshot {
        let stored = |(number, generation): (&u32, &Generation)| StoredGeneration {
            generation: *number,
            highest: generation.highest,
            missing: generation.missing.iter().copied().collect(),
        };
        let record = |(owner, (id, record)): (&String, &(i64, String))| Commit {
            id: *id,
            owner: owner.clone(),
            record: record.clone(),
        };
        Snapshot {
            generation,
            floor: self.floor,
            generations: self.generations.iter().map(stored).collect(),
            records: self.records.iter().map(record).collect(),
        }
    }

    /// The inverse of [`Table::snapshot`].
    pub(super) fn from_snapshot(snapshot: Snapshot) -> Self {
        let generations = snapshot.generations.into_iter().map(|stored| {
            let generation = Generation {
                highest: stored.highest,
                missing: stored.missing.into_iter().collect(),
            };
            (stored.generation, generation)
        });
        let records = snapshot
            .records
            .into_iter()
            .map(|commit| (commit.owner, (commit.id, commit.record)));
        Self {
            generations: generations.collect(),
            records: records.collect(),
            floor: snapshot.floor,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(generation: u32, counter: u64) -> TransactionId {
        TransactionId::new(generation, counter).unwrap()
    }

    fn commit(id: TransactionId, owner: &str) -> Commit {
        Commit {
            id: id.to_i64(),
            owner: owner.into(),
            record: format!("record of {}", id.to_i64()),
        }
    }

    #[test]
    fn numbers_keep_their_parts() {
        for (generation, counter) in [
            (0, 1),
            (1, 1),
            (super::super::id::GENERATION_MAX, (1 << 35) - 1),
        ] {
            let id = id(generation, counter);
            assert!(id.to_i64() >= 0);
            assert_eq!((id.generation(), id.counter()), (generation, counter));
        }
        assert!(TransactionId::new(1, 1 << 35).is_err());
        assert!(TransactionId::new(1 << 28, 1).is_err());
    }

    proptest! {
        #[test]
        fn the_table_equals_a_set_of_commits_also_after_a_round_trip(
            commits in proptest::collection::vec((1..4_u32, 1..30_u64, 0..3_usize), 0..60),
            floor in (1..4_u32, 1..30_u64),
        ) {
            let owners = ["a", "b", "c"];
            let mut table = Table::default();
            let mut model = BTreeSet::new();
            let mut newest = BTreeMap::new();
            for (generation, counter, owner) in commits {
                let id = id(generation, counter);
                table.commit(commit(id, owners[owner]));
                model.insert(id);
                newest.insert(owners[owner], format!("record of {}", id.to_i64()));
                table = Table::from_snapshot(table.snapshot(9));
            }
            for owner in owners {
                prop_assert_eq!(table.record(owner), newest.get(owner).map(String::as_str));
            }
            let floor = id(floor.0, floor.1);
            let mut pruned = table.clone();
            pruned.prune(floor);
            prop_assert!(pruned.entries() <= table.entries());
            for generation in 0..5 {
                for counter in 1..32 {
                    let id = id(generation, counter);
                    prop_assert_eq!(table.is_committed(id), model.contains(&id));
                    prop_assert_eq!(pruned.is_committed(id), id >= floor && model.contains(&id));
                }
            }
        }
    }
}
