//! Statements: from SQL text to a running job and to its end.
//!
//! Enters: requests of clients, events of jobs, the passing of time. Leaves: jobs, results, phases. `state` decides, `executor` acts,
//! `service` is what APIs call. Invariant: a phase is stored before anyone sees it, and what runs follows from what is stored.

mod carry_over;
mod create;
mod creation;
mod engine;
mod entry;
mod exceptions;
mod executor;
mod failure;
mod health;
mod immediate;
mod limits;
mod observe;
mod pools;
mod prepare;
mod properties;
mod record;
mod rescale;
mod restart;
mod results;
mod resume;
mod savepoints;
mod service;
mod slow_checkpoints;
mod snapshot;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
mod transfer;

pub(crate) use engine::CheckpointPlace;
pub use exceptions::StatementException;
pub use failure::ExceptionClass;
pub use limits::{LimitAction, StateLimit, StateLimitStatus, StateLimits};
pub use record::{
    CarryOver, InitialOffsets, Kind, Origin, Record, RestoreFrom, Rows, Scaling, Traits, Wanted,
};
pub use results::ResultPage;
pub use resume::ResumeFrom;
pub use savepoints::{CheckpointSummary, Savepoint};
pub(crate) use service::Components;
pub use service::{CreateStatement, ListStatements, Statements, Update};
pub use slow_checkpoints::SlowCheckpoints;
pub use transfer::{
    ExportedObject, ExportedSavepoint, ExportedStatement, ExportedTable, Import, ImportOptions,
    Manifest, SavepointObject, SavepointSource, SavepointTarget,
};
