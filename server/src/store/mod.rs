//! Everything that lasts, in one SQLite database.
//!
//! Place in the flow: services call it from threads that may wait. Invariant: every change of a statement is one transaction that
//! also appends its event and its slot time, so a crash leaves either all of a change or nothing.

mod ledger;
mod objects;
mod resources;
mod savepoints;
mod schema;
mod statements;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{Error, Result};

pub(crate) use objects::{ObjectKind, StoredObject};
pub(crate) use statements::{Change, Event, EventKind, Failure};

/// How long a statement waits for a reader from outside, such as a backup (guess, unmeasured).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database.
#[derive(Debug)]
pub(crate) struct Store {
    /// The one connection: writes are serial anyway.
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database of a data directory and brings its schema up to date.
    ///
    /// # Errors
    /// `Storage` naming the file; `Start` when a newer version wrote it.
    pub(crate) fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("weir.db");
        let named = |error: rusqlite::Error| {
            Error::Storage(format!(
                "cannot open database \"{}\": {error}",
                path.display()
            ))
        };
        let mut connection = Connection::open(&path).map_err(named)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(named)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(named)?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(named)?;
        connection
            .pragma_update(None, "foreign_keys", "ON")
            .map_err(named)?;
        schema::migrate(&mut connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The connection; a panic of another holder left no open transaction, since those roll back when dropped.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
