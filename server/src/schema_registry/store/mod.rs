//! Schemas, subjects and versions in SQLite.
//!
//! Place in the flow: statements and the HTTP API share one store. Invariant: an id is given to one content for ever within its context;
//! every change is one transaction, on the disk before it is answered.

mod delete;
mod migrate;
mod model;
mod read;
mod refusal;
mod register;
mod settings;
mod subject;
mod tables;
#[cfg(test)]
pub(super) mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub(crate) use model::{
    Deleted, Deletion, Filter, NUMBER_MAX, NewSchema, Normalize, Reference, Schema, Version,
    VersionId,
};
pub(crate) use read::Newest;
pub(crate) use refusal::Refusal;
pub(crate) use register::Versions;
pub(crate) use settings::{Config, Force, Mode};
pub(crate) use subject::{DEFAULT_CONTEXT, Subject};
use tables::Tables;

/// The registry's database.
#[derive(Debug)]
pub struct SchemaStore {
    /// The one connection: writes are serial anyway.
    connection: Mutex<Connection>,
}

impl SchemaStore {
    /// Opens the database `schemas.db` of a directory and brings its tables up to date.
    ///
    /// # Errors
    /// A message naming the file when it cannot be opened.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let path = dir.join("schemas.db");
        Self::create(&path)
            .map_err(|error| format!("cannot open database \"{}\": {error}", path.display()))
    }

    /// Opens the file and makes its tables.
    fn create(path: &Path) -> Result<Self, String> {
        let told = |error: rusqlite::Error| error.to_string();
        let mut connection = Connection::open(path).map_err(told)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(told)?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(told)?;
        migrate::migrate(&mut connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The connection; every statement leaves it whole, whatever happened to other holders.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads.
    fn read<T>(&self, work: impl FnOnce(Tables<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        work(Tables::new(&self.lock()))
    }

    /// Changes, all or nothing.
    fn write<T>(&self, work: impl FnOnce(Tables<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let done = work(Tables::new(&transaction))?;
        transaction.commit()?;
        Ok(done)
    }
}
