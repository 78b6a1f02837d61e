//! Statements: from SQL text to a running job and to its end.
//!
//! Enters: requests of clients, events of jobs, the passing of time. Leaves: jobs, results, phases. `state` decides, `executor` acts,
//! `service` is what APIs call. Invariant: a phase is stored before anyone sees it, and what runs follows from what is stored.

mod create;
mod entry;
mod executor;
mod immediate;
mod pools;
mod prepare;
mod properties;
mod record;
mod results;
mod service;
mod snapshot;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;

pub use record::{Kind, Record, Rows, Scaling, Traits, Wanted};
pub use results::ResultPage;
pub(crate) use service::Components;
pub use service::{CreateStatement, ListStatements, StatementException, Statements, Update};
