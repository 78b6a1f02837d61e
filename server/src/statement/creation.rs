//! The table of `CREATE TABLE ... AS SELECT`.
//!
//! Place in the flow: made by the start of the statement's job, before the job. Invariant: nothing is made for a plan that cannot be
//! executed, and once the job has started the table is its user's: no later start touches it.

use weir_runtime::error::{Error, Result};
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::catalog::TableDef;
use weir_runtime::task::check_executable;

use super::executor::{Core, State};
use super::immediate::as_failure;
use super::record::Record;
use crate::catalog::CatalogService;

/// Creates the table that a statement fills, if there is one to create. Waits for brokers and disks.
///
/// # Errors
/// `Unsupported` for a plan that cannot be executed; `Invalid` when the name is taken meanwhile; whatever keeps the topic from being
/// made.
pub(super) fn create(
    table: Option<TableDef>,
    plan: &StreamPlan,
    is_again: bool,
    catalog: &CatalogService,
) -> Result<(), Error> {
    let Some(table) = table else {
        return Ok(());
    };
    check_executable(plan)?;
    let made = catalog.create_filled_table(table, is_again);
    made.map_err(as_failure)
}

impl Core {
    /// The table of a statement is there: from now on it is its user's, who may alter or drop it.
    pub(super) fn forget_created(&self, state: &mut State, seq: i64) {
        let record = state.entries.get(&seq).map(|entry| Record {
            creates_table: None,
            ..entry.record.clone()
        });
        let Some(record) = record else {
            return;
        };
        // Not stored, the table is looked for again with the next start.
        if let Err(error) = self.change(state, seq, record, "its table is there") {
            tracing::error!(%error, seq, "a change of a statement could not be stored");
        }
    }
}
