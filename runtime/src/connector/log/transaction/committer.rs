//! The transactions of one statement in the embedded log.
//!
//! Place in the flow: the coordinator of checkpoints commits through it, writers ask it for the transaction of their epoch. Invariant:
//! at most two epochs are open, and the older one is committed first; when the last holder is gone, what is open is aborted, so that no
//! time-out is needed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::coordinator::{RunOf, Transaction};
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::log::files::lock;
use crate::connector::log::store::LogStore;
use crate::error::{Error, Result};

/// Epochs that may be open at a time: the one that is written and the one that waits for its commit.
const OPEN_EPOCHS_MAX: usize = 2;

/// The transactions of one run of a statement.
#[derive(Debug)]
pub struct LogTransactions {
    /// The log, which stays open as long as somebody may commit.
    store: Arc<LogStore>,
    /// Statement uid.
    owner: String,
    /// What changes.
    run: Mutex<Run>,
}

/// A run of the statement.
#[derive(Debug, Default)]
struct Run {
    /// Its number; absent before it has fenced the runs before it.
    number: Option<u64>,
    /// Open epochs, ascending.
    open: VecDeque<(u64, Arc<Transaction>)>,
    /// What was committed last.
    committed: Option<(u64, EpochRecord)>,
}

impl LogTransactions {
    /// The transactions of a statement in a store. Nobody is fenced yet.
    pub fn new(store: &Arc<LogStore>, statement_uid: &str) -> Self {
        Self {
            store: Arc::clone(store),
            owner: statement_uid.to_owned(),
            run: Mutex::default(),
        }
    }

    /// Whether these are transactions in that store.
    pub(in crate::connector::log) fn is_of(&self, store: &Arc<LogStore>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }

    /// The transaction of an open epoch.
    ///
    /// # Errors
    /// `Internal` when the epoch is not open.
    pub(in crate::connector::log) fn transaction(&self, epoch: u64) -> Result<Arc<Transaction>> {
        let run = lock(&self.run);
        run.open
            .iter()
            .find(|(open, _)| *open == epoch)
            .map(|(_, transaction)| Arc::clone(transaction))
            .ok_or_else(|| self.misused(&format!("epoch {epoch} was not begun")))
    }

    /// The error of a writer whose transaction has ended under it.
    pub(in crate::connector::log) fn fenced(&self) -> Error {
        super::coordinator::fenced(&self.owner)
    }

    /// Which run this is.
    fn run_of(&self, run: &Run) -> Result<RunOf<'_>> {
        let number = run
            .number
            .ok_or_else(|| self.misused("transactions before the fence"))?;
        Ok(RunOf {
            owner: &self.owner,
            run: number,
        })
    }

    /// The error of calls in a wrong order.
    fn misused(&self, what: &str) -> Error {
        Error::internal(format!(
            "embedded log, transactions of statement {}: {what}",
            self.owner
        ))
    }
}

impl Drop for LogTransactions {
    /// A run that has ended commits no more.
    fn drop(&mut self) {
        let run = std::mem::take(&mut *lock(&self.run));
        let released = match self.run_of(&run) {
            Ok(of) if !run.open.is_empty() => self.store.transactions().release(of),
            Ok(_) | Err(_) => Ok(()),
        };
        if let Err(error) = released {
            tracing::error!(statement = self.owner, %error, "open transactions were not aborted");
        }
    }
}

impl Committer for LogTransactions {
    fn fence(&self) -> Result<()> {
        let mut run = lock(&self.run);
        let number = self.store.transactions().fence(&self.owner)?;
        *run = Run {
            number: Some(number),
            ..Run::default()
        };
        Ok(())
    }

    fn committed(&self) -> Result<Option<EpochRecord>> {
        self.store.committed_record(&self.owner)
    }

    fn begin(&self, epoch: u64) -> Result<()> {
        let mut run = lock(&self.run);
        let of = self.run_of(&run)?;
        if run.open.len() >= OPEN_EPOCHS_MAX || run.open.iter().any(|(open, _)| *open >= epoch) {
            return Err(self.misused(&format!(
                "epoch {epoch} is begun while others are open: {:?}",
                run.open.iter().map(|(open, _)| open).collect::<Vec<_>>()
            )));
        }
        let transaction = self.store.transactions().begin(of)?;
        run.open.push_back((epoch, transaction));
        Ok(())
    }

    fn commit(&self, epoch: u64, record: &EpochRecord) -> Result<()> {
        let run = lock(&self.run);
        if run.committed.as_ref() == Some(&(epoch, record.clone())) {
            return Ok(());
        }
        let of = self.run_of(&run)?;
        let transaction = run
            .open
            .front()
            .filter(|(open, _)| *open == epoch)
            .map(|(_, transaction)| Arc::clone(transaction))
            .ok_or_else(|| self.misused(&format!("epoch {epoch} is not the oldest open one")))?;
        // Writers ask for the next epoch meanwhile and must not wait for the device.
        drop(run);
        self.store
            .transactions()
            .commit(of, &transaction, record.to_text()?)?;
        let mut run = lock(&self.run);
        run.open.retain(|(open, _)| *open != epoch);
        run.committed = Some((epoch, record.clone()));
        Ok(())
    }
}
