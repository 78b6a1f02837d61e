//! The meter: a snapshot every few seconds, and the text of both metric surfaces.
//!
//! Place in the flow: the server's housekeeping ticks it, scrapers read it. Invariant: one-minute deltas are made from the history,
//! everything else from a snapshot of the moment of the scrape.

use std::sync::{Mutex, PoisonError};

use crate::statement::Statements;

/// Which metrics are asked for.
#[derive(Debug)]
pub(crate) enum Surface {
    /// Confluent's, with the query that narrows them.
    Confluent(Vec<(String, String)>),
    /// Weir's own.
    Native,
}

/// Snapshots of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// The snapshots.
    history: Mutex<Vec<weir_model::meter::Snapshot>>,
}

impl Meter {
    /// Takes a snapshot into the history.
    pub(crate) fn tick(&self, statements: &Statements) {
        let snapshot = statements.snapshot();
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(snapshot);
    }

    /// The text of a surface and its content type.
    pub(crate) fn text(
        &self,
        statements: &Statements,
        surface: &Surface,
        accept: &str,
    ) -> (&'static str, String) {
        let (_, _, _) = (statements, surface, accept);
        ("text/plain", String::new())
    }
}
