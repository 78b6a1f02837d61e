//! The newest failures of a statement, as clients read them.

use super::ExceptionClass;
use super::service::Statements;
use crate::error::Result;
use crate::store::EventKind;

/// A failure of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementException {
    /// When, epoch milliseconds.
    pub at_ms: i64,
    /// Whose it is.
    pub class: ExceptionClass,
    /// Its code, such as `WEIR-2001`.
    pub code: String,
    /// Whether the job was started again.
    pub is_recoverable: bool,
    /// What went wrong.
    pub message: String,
}

impl Statements {
    /// The ten newest failures of a statement, newest first.
    ///
    /// # Errors
    /// `NotFound`; `Storage`.
    pub fn exceptions(&self, name: &str) -> Result<Vec<StatementException>> {
        let uid = self.get(name)?.uid;
        let events = self.core.store.exceptions(&uid)?;
        let exception = |event: crate::store::Event| match event.kind {
            EventKind::Change => None,
            EventKind::Exception(failure) => Some(StatementException {
                at_ms: event.at_ms,
                class: failure.class,
                code: failure.code,
                is_recoverable: failure.is_recoverable,
                message: event.detail,
            }),
        };
        Ok(events.into_iter().filter_map(exception).collect())
    }
}
