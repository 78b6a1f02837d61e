//! The results of a foreground statement: a bounded buffer between the job and its client.
//!
//! Enters: rows of the statement's last operator. Leaves: pages that the client asks for by position. Invariant: no row is dropped
//! before the client has asked for a later one, and the job waits when the client does not fetch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};
use crate::task::{Waker, WakerSet};

/// Rows of a foreground statement that its client has not fetched yet.
#[derive(Debug)]
pub struct Results {
    /// Rows above which writers are not ready.
    rows_max: usize,
    /// The buffer.
    state: Mutex<State>,
    /// Signalled with new rows and with the end.
    changed: Notify,
}

/// The buffer.
#[derive(Debug, Default)]
struct State {
    /// Batches not freed yet; none is empty.
    batches: VecDeque<Batch>,
    /// Position of the first row held.
    first: u64,
    /// Rows held.
    rows: usize,
    /// Whether no more rows come.
    finished: bool,
    /// Writers that wait for room.
    waiting: WakerSet,
}

impl State {
    /// Position after the last row held.
    fn end(&self) -> u64 {
        self.first + self.rows as u64
    }

    /// Frees rows before a position.
    fn free_before(&mut self, position: u64) {
        while self.first < position {
            let Some(batch) = self.batches.front_mut() else {
                return;
            };
            let wanted = usize::try_from(position - self.first).unwrap_or(usize::MAX);
            let freed = wanted.min(batch.rows);
            if freed == batch.rows {
                self.batches.pop_front();
            } else {
                *batch = batch.slice(freed, batch.rows - freed);
            }
            self.first += freed as u64;
            self.rows -= freed;
        }
    }
}

/// What a client gets.
#[derive(Debug, Clone, Default)]
pub struct ResultsPage {
    /// Rows from the asked position on; kinds included.
    pub batches: Vec<Batch>,
    /// The position to ask for next.
    pub next: u64,
    /// Whether nothing follows after `next`.
    pub finished: bool,
}

impl ResultsPage {
    /// Rows of the page.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows).sum()
    }
}

impl Results {
    /// An empty buffer. Writers are asked to wait while it holds `rows_max` rows (at least 1), so it never holds more than
    /// that and one batch per writer.
    pub fn new(rows_max: usize) -> Arc<Self> {
        Arc::new(Self {
            rows_max: rows_max.max(1),
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Rows from position `from` (counted in rows from 0) on, at most `rows_max`; asking for a position frees everything
    /// before it, so a client may repeat its last request but not go further back.
    ///
    /// A position that is freed already stands for the first one held, and one past the end for the end; `next` less the
    /// rows of the page is where the page really starts.
    pub fn page(&self, from: u64, rows_max: usize) -> ResultsPage {
        let mut state = self.lock();
        let was_full = state.rows >= self.rows_max;
        let from = from.clamp(state.first, state.end());
        state.free_before(from);
        let mut page = ResultsPage {
            next: from,
            ..ResultsPage::default()
        };
        let mut left = rows_max;
        for batch in &state.batches {
            if left == 0 {
                break;
            }
            let rows = batch.rows.min(left);
            page.batches.push(if rows == batch.rows {
                batch.clone()
            } else {
                batch.slice(0, rows)
            });
            page.next += rows as u64;
            left -= rows;
        }
        page.finished = state.finished && page.next == state.end();
        if was_full && state.rows < self.rows_max {
            state.waiting.wake_all();
        }
        page
    }

    /// Waits until there are rows after position `from` or no more will come; at once if that is so already.
    pub async fn changed(&self, from: u64) {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            // Registered before the look at the buffer, so that no change between is missed.
            notified.as_mut().enable();
            if self.has_news(from) {
                return;
            }
            notified.await;
        }
    }

    /// Whether there are rows after `from` or no more will come.
    fn has_news(&self, from: u64) -> bool {
        let state = self.lock();
        state.finished || state.end() > from
    }

    /// Marks the end: no more rows come.
    pub fn finish(&self) {
        self.lock().finished = true;
        self.changed.notify_waiters();
    }

    /// Takes rows.
    fn push(&self, batch: &Batch) {
        if batch.rows > 0 {
            let mut state = self.lock();
            state.rows += batch.rows;
            state.batches.push_back(batch.clone());
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Whether rows are taken now; if not, the waker is called once they are.
    fn ready(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let ready = state.rows < self.rows_max;
        if !ready {
            state.waiting.add(waker);
        }
        ready
    }

    /// The buffer; it is valid after every statement, whatever happened to other holders.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to a [`Results`] buffer.
#[derive(Debug)]
pub struct ResultsSink {
    /// The buffer.
    results: Arc<Results>,
}

impl ResultsSink {
    /// A sink that fills the buffer.
    pub fn new(results: Arc<Results>) -> Self {
        Self { results }
    }
}

impl Sink for ResultsSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(ResultsWriter {
            results: Arc::clone(&self.results),
            waker: context.waker,
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Rows
    }
}

/// Writes for one subtask.
#[derive(Debug)]
struct ResultsWriter {
    /// The buffer.
    results: Arc<Results>,
    /// Called when there is room again.
    waker: Waker,
}

impl SinkWriter for ResultsWriter {
    fn write_rows(&mut self, batch: &Batch) -> Result<()> {
        self.results.push(batch);
        Ok(())
    }

    fn write_records(&mut self, _records: &EncodedBatch) -> Result<()> {
        Err(Error::internal("the results sink takes rows"))
    }

    fn ready(&mut self) -> bool {
        self.results.ready(&self.waker)
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
