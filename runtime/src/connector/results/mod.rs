//! The results of a foreground statement: a bounded buffer between the job and its client.

use crate::batch::Batch;

/// Rows of a foreground statement that its client has not fetched yet.
#[derive(Debug, Default)]
pub struct Results {}

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

impl Results {
    /// Rows from position `from` (counted in rows from 0) on, at most `rows_max`; asking for a position frees everything
    /// before it, so a client may repeat its last request but not go further back.
    pub fn page(&self, from: u64, rows_max: usize) -> ResultsPage {
        let _ = rows_max;
        ResultsPage {
            batches: Vec::new(),
            next: from,
            finished: true,
        }
    }
}
