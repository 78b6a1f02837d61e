//! The meter: a snapshot every few seconds, and the text of both metric surfaces.
//!
//! Place in the flow: the server's housekeeping ticks it, scrapers read it. Invariant: one-minute deltas are made from the history,
//! everything else from a snapshot of the moment of the scrape.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_metrics_exporter::confluent::{self, Filter};
use weir_metrics_exporter::native::{self, Limits};
use weir_metrics_exporter::{History, TextFormat};

use crate::statement::Statements;

/// Which metrics are asked for.
#[derive(Debug)]
pub(crate) enum Surface {
    /// Confluent's, with the query that narrows them.
    Confluent(Vec<(String, String)>),
    /// Weir's own.
    Native,
}

/// Snapshots kept: a minute and a quarter of five seconds each, so that the one of a minute ago is among them.
const SNAPSHOTS_MAX: usize = 16;

/// Snapshots of the last minute.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The snapshots.
    history: Mutex<History>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            history: Mutex::new(History::new(SNAPSHOTS_MAX)),
        }
    }
}

impl Meter {
    /// Takes a snapshot into the history.
    pub(crate) fn tick(&self, statements: &Statements) {
        let snapshot = statements.snapshot();
        self.history().push(snapshot);
    }

    /// The text of a surface and its content type.
    pub(crate) fn text(
        &self,
        statements: &Statements,
        surface: &Surface,
        accept: &str,
    ) -> (&'static str, String) {
        let format = TextFormat::negotiate(Some(accept));
        let latest = statements.snapshot();
        let text = match surface {
            Surface::Confluent(query) => {
                let minute_ago = self.history().minute_ago();
                confluent::export(&latest, minute_ago.as_deref(), &filter(query), format, None)
            }
            Surface::Native => native::export(&latest, Limits::default(), format),
        };
        (format.content_type(), text)
    }

    /// The snapshots; they are valid after every statement, whatever happened to other holders.
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a query of Confluent's export endpoint asks for.
fn filter(query: &[(String, String)]) -> Filter {
    let values = |wanted: &str| {
        let matching = query.iter().filter(|(key, _)| key == wanted);
        matching.map(|(_, value)| value.clone()).collect()
    };
    Filter {
        pool_ids: values("resource.compute_pool.id"),
        metrics: values("metric"),
    }
}
