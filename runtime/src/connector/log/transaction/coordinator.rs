//! Begins, commits and aborts the transactions of a store.
//!
//! Place in the flow: committers call it from edge threads, writers enter a transaction with every append, readers ask which batches
//! count. Invariant: a transaction that was committed or aborted gets no more rows, and of two runs of a statement only the younger
//! one commits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::id::TransactionId;
use super::journal::{Journal, Opened};
use super::table::{Commit, Forget, Line, Table};
use crate::connector::log::files::lock;
use crate::connector::log::partition::Partition;
use crate::connector::log::topic::Topic;
use crate::error::{Error, Result};

/// Entries of aborted transactions above which those that are in no batch any more are looked for: half a megabyte of numbers (guess,
/// unmeasured).
const PRUNE_ENTRIES: usize = 65_536;

/// The transactions of a store.
#[derive(Debug)]
pub(in crate::connector::log) struct Coordinator {
    /// The generation of this process.
    generation: u32,
    /// What readers ask.
    table: RwLock<Table>,
    /// What changes with a transaction; held while a commit is made durable.
    state: Mutex<State>,
}

/// What changes with a transaction.
#[derive(Debug)]
struct State {
    /// Where commits are written.
    journal: Journal,
    /// Counter of the newest transaction.
    counter: u64,
    /// Number of the newest run of any statement.
    run: u64,
    /// Statements that were started since the store was opened.
    owners: BTreeMap<String, Owner>,
}

/// A statement.
#[derive(Debug, Default)]
struct Owner {
    /// The run that may commit.
    run: u64,
    /// Its open transactions.
    open: Vec<Arc<Transaction>>,
}

/// Which run of which statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunOf<'a> {
    /// Statement uid.
    pub(super) owner: &'a str,
    /// What [`Coordinator::fence`] gave.
    pub(super) run: u64,
}

/// A transaction that was begun.
#[derive(Debug)]
pub(in crate::connector::log) struct Transaction {
    /// Its number.
    pub(in crate::connector::log) id: TransactionId,
    /// Held for reading by every append, for writing by the end.
    phase: RwLock<Phase>,
    /// Where it has rows.
    touched: Mutex<Vec<Touched>>,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes rows.
    Open,
    /// Was committed or aborted.
    Ended,
}

/// The partitions of a topic that have rows of a transaction.
#[derive(Debug)]
struct Touched {
    /// The topic.
    topic: Arc<Topic>,
    /// The partitions.
    partitions: BTreeSet<u32>,
}

/// Keeps a transaction from ending for the time of an append.
#[derive(Debug)]
pub(in crate::connector::log) struct Entered<'a> {
    /// The transaction.
    pub(in crate::connector::log) transaction: &'a Transaction,
    /// Keeps the end away.
    _phase: RwLockReadGuard<'a, Phase>,
}

impl Transaction {
    /// Keeps the transaction open for the time of an append; absent when it has ended.
    pub(in crate::connector::log) fn enter(&self) -> Option<Entered<'_>> {
        let phase = self.phase.read().unwrap_or_else(PoisonError::into_inner);
        (*phase == Phase::Open).then_some(Entered {
            transaction: self,
            _phase: phase,
        })
    }

    /// Notes where rows are about to be written.
    pub(in crate::connector::log) fn touch(&self, topic: &Arc<Topic>, partition: u32) {
        let mut touched = lock(&self.touched);
        if let Some(known) = touched
            .iter_mut()
            .find(|known| Arc::ptr_eq(&known.topic, topic))
        {
            known.partitions.insert(partition);
        } else {
            touched.push(Touched {
                topic: Arc::clone(topic),
                partitions: BTreeSet::from([partition]),
            });
        }
    }

    /// Waits for appends under way, and keeps new ones out.
    fn exclude(&self) -> RwLockWriteGuard<'_, Phase> {
        self.phase.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes its rows durable, as far as the policy says. A topic that was deleted meanwhile has none.
    fn flush(&self) -> Result<()> {
        let touched = lock(&self.touched);
        touched.iter().try_for_each(|touched| {
            touched
                .partitions
                .iter()
                .filter_map(|partition| touched.topic.partition(*partition).ok())
                .try_for_each(Partition::flush)
        })
    }

    /// Lets readers go on behind its rows, after the table knows what became of it.
    fn settle(&self) {
        for touched in lock(&self.touched).drain(..) {
            touched.topic.settle(self.id, &touched.partitions);
        }
    }

    /// Ends it without a commit.
    fn abort(&self) {
        *self.exclude() = Phase::Ended;
        self.settle();
    }
}

impl Coordinator {
    /// Opens the journal of a store's directory; `durable` commits are on the device before they return. Every transaction of an
    /// earlier process that was not committed is aborted from here on.
    ///
    /// # Errors
    /// `Corrupt` naming file and place; `Storage` naming the file.
    pub(in crate::connector::log) fn open(dir: &Path, durable: bool) -> Result<Self> {
        let Opened {
            journal,
            table,
            generation,
        } = Journal::open(dir, durable)?;
        Ok(Self {
            generation,
            table: RwLock::new(table),
            state: Mutex::new(State {
                journal,
                counter: 0,
                run: 0,
                owners: BTreeMap::new(),
            }),
        })
    }

    /// The generation of this process.
    pub(in crate::connector::log) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether readers may see the batches of a transaction that is not open.
    pub(in crate::connector::log) fn is_committed(&self, id: TransactionId) -> bool {
        self.read_table().is_committed(id)
    }

    /// The text of the newest record of a statement.
    pub(in crate::connector::log) fn record(&self, owner: &str) -> Option<String> {
        self.read_table().record(owner).map(str::to_owned)
    }

    /// Shuts out every earlier run of a statement, aborts what is open, and gives the new run its number.
    ///
    /// # Errors
    /// `Storage` when it is not known what became of an earlier commit.
    pub(super) fn fence(&self, owner: &str) -> Result<u64> {
        let mut state = lock(&self.state);
        state.journal.repair()?;
        state.run += 1;
        let run = state.run;
        let known = state.owners.entry(owner.to_owned()).or_default();
        known.run = run;
        for transaction in known.open.drain(..) {
            transaction.abort();
        }
        Ok(run)
    }

    /// Aborts what a run has left open, unless a younger one did so. Without this, readers would wait until the statement is
    /// started again.
    ///
    /// # Errors
    /// `Storage` when it is not known what became of an earlier commit; then the next fence tries again.
    pub(super) fn release(&self, of: RunOf<'_>) -> Result<()> {
        let mut state = lock(&self.state);
        if state.owner(of).is_ok_and(|owner| !owner.open.is_empty()) {
            state.journal.repair()?;
            for transaction in state.owner(of)?.open.drain(..) {
                transaction.abort();
            }
        }
        Ok(())
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `Conflict` when a younger run has taken over.
    pub(super) fn begin(&self, of: RunOf<'_>) -> Result<Arc<Transaction>> {
        let mut state = lock(&self.state);
        state.owner(of)?;
        let id = TransactionId::new(self.generation, state.counter + 1)?;
        state.counter += 1;
        let transaction = Arc::new(Transaction {
            id,
            phase: RwLock::new(Phase::Open),
            touched: Mutex::default(),
        });
        state.owner(of)?.open.push(Arc::clone(&transaction));
        Ok(transaction)
    }

    /// Commits a transaction together with a record. After an error it is open as before, and may be committed again or aborted.
    ///
    /// # Errors
    /// `Conflict` when a younger run has taken over; `Storage` naming the file.
    pub(super) fn commit(
        &self,
        of: RunOf<'_>,
        transaction: &Transaction,
        record: String,
    ) -> Result<()> {
        // Before the lock, since other statements may commit meanwhile; the writers have ended by now.
        transaction.flush()?;
        let mut state = lock(&self.state);
        state.owner(of)?;
        let mut phase = transaction.exclude();
        if *phase == Phase::Ended {
            return Err(fenced(of.owner));
        }
        let commit = Commit {
            id: transaction.id.to_i64(),
            owner: of.owner.to_owned(),
            record,
        };
        state.journal.append(&Line::Commit(commit.clone()))?;
        self.write_table().commit(commit);
        *phase = Phase::Ended;
        drop(phase);
        state
            .owner(of)?
            .open
            .retain(|open| open.id != transaction.id);
        state
            .journal
            .compact_if_large(&self.read_table(), self.generation);
        drop(state);
        transaction.settle();
        Ok(())
    }

    /// Forgets a statement: its record, its runs, and what they left open.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(in crate::connector::log) fn forget(&self, owner: &str) -> Result<()> {
        let mut state = lock(&self.state);
        state.journal.repair()?;
        if let Some(known) = state.owners.remove(owner) {
            known
                .open
                .iter()
                .for_each(|transaction| transaction.abort());
        }
        if self.record(owner).is_some() {
            state.journal.append(&Line::Forget(Forget {
                owner: owner.to_owned(),
            }))?;
            self.write_table().forget(owner);
        }
        Ok(())
    }

    /// Whether it is time to look for the lowest number in any batch.
    pub(in crate::connector::log) fn wants_floor(&self) -> bool {
        self.read_table().entries() > PRUNE_ENTRIES
    }

    /// Entries of the table that only grow until they are pruned.
    #[cfg(test)]
    pub(in crate::connector::log) fn entries(&self) -> usize {
        self.read_table().entries()
    }

    /// Forgets numbers below the lowest one in any batch; absent when no batch has one.
    pub(in crate::connector::log) fn prune(&self, lowest: Option<TransactionId>) {
        // No lock of the state: numbers below are given out no more.
        let own = TransactionId::new(self.generation, 0).ok();
        if let Some(floor) = lowest.into_iter().chain(own).min() {
            self.write_table().prune(floor);
        }
    }

    /// The table, for reading.
    fn read_table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table, for writing.
    fn write_table(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A statement, unless a younger run has taken over.
    fn owner(&mut self, of: RunOf<'_>) -> Result<&mut Owner> {
        self.owners
            .get_mut(of.owner)
            .filter(|owner| owner.run == of.run)
            .ok_or_else(|| fenced(of.owner))
    }
}

/// The error of a run that was shut out.
pub(super) fn fenced(owner: &str) -> Error {
    Error::fenced(format!(
        "embedded log: another run of statement {owner} has taken over its transactions"
    ))
}
