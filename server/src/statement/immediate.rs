//! What immediate statements do.

use std::sync::Arc;

use weir_runtime::error::Error;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, analyze, parse};

use super::engine::Ended;
use crate::catalog::CatalogService;
use crate::error::{Error as ServerError, Result};

/// Carries out an immediate statement and tells its end as a job would. Waits for brokers and disks.
///
/// `bound` is absent when the server was started anew since the statement was made; the text is bound again then.
pub(super) fn run(
    bound: Option<Bound>,
    sql: &str,
    session: &Session,
    catalog: &Arc<CatalogService>,
) -> Ended {
    let bound = match bound {
        Some(bound) => Ok(bound),
        None => bind(sql, session, catalog),
    };
    match bound.and_then(|bound| carry_out(bound, catalog)) {
        Ok(()) => Ended::Finished,
        Err(error) => Ended::Failed(as_failure(error)),
    }
}

/// An error of the server as one that ends a job.
pub(super) fn as_failure(error: ServerError) -> Error {
    match error {
        ServerError::Runtime(error) => error,
        other => Error::storage(other.to_string()),
    }
}

/// Binds the text of one statement.
fn bind(sql: &str, session: &Session, catalog: &Arc<CatalogService>) -> Result<Bound> {
    let statement = parse(sql)?
        .pop()
        .ok_or_else(|| Error::syntax("there is no statement in this text"))?;
    Ok(analyze(&statement, catalog.as_ref(), session)?)
}

/// Changes the catalog as the statement says.
fn carry_out(bound: Bound, catalog: &CatalogService) -> Result<()> {
    match bound {
        Bound::CreateTable {
            table,
            if_not_exists,
        } => catalog.create_table(table, if_not_exists),
        Bound::AlterTable { table } => catalog.alter_table(table),
        Bound::DropTable { name, if_exists } => catalog.drop_table(&name, if_exists),
        Bound::CreateView {
            view,
            if_not_exists,
        } => catalog.create_view(view, if_not_exists),
        Bound::DropView { name, if_exists } => catalog.drop_view(&name, if_exists),
        Bound::AlterView { name, view } => catalog.alter_view(&name, view),
        Bound::ChangeResource { before, after, .. } => {
            catalog.change_resource(before.as_ref(), after)
        }
        Bound::Rows { .. }
        | Bound::Set { .. }
        | Bound::Reset { .. }
        | Bound::Nothing { .. }
        | Bound::ShowJobs => Ok(()),
        Bound::Query(..) | Bound::Insert(..) | Bound::CreateTableAs { .. } => {
            Err(Error::internal("a statement with a plan was taken for an immediate one").into())
        }
    }
}
