//! Tables, views and pools.

use rusqlite::params;
use weir_runtime::sql::catalog::ObjectName;

use super::Store;
use crate::error::{Error, Result};
use crate::pool::Pool;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// A table.
    Table,
    /// A view.
    View,
}

impl ObjectKind {
    /// The stored name.
    fn as_str(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::View => "VIEW",
        }
    }
}

/// A table or view as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredObject {
    /// Its name.
    pub(crate) name: ObjectName,
    /// What it is.
    pub(crate) kind: ObjectKind,
    /// JSON of the definition.
    pub(crate) definition: String,
    /// Whether its topic was made with it and goes with it.
    pub(crate) owns_topic: bool,
}

impl Store {
    /// Stores a table or view, new or changed.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn put_object(&self, object: &StoredObject) -> Result<()> {
        self.lock().execute(
            "INSERT INTO objects (catalog, database, name, kind, definition, owns_topic) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (catalog, database, name) DO UPDATE SET kind = excluded.kind, definition = excluded.definition,
             owns_topic = excluded.owns_topic",
            params![
                object.name.catalog,
                object.name.database,
                object.name.name,
                object.kind.as_str(),
                object.definition,
                object.owns_topic
            ],
        )?;
        Ok(())
    }

    /// Puts an object in the place of one of another name, in one transaction.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn rename_object(&self, name: &ObjectName, object: &StoredObject) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "DELETE FROM objects WHERE catalog = ?1 AND database = ?2 AND name = ?3",
            params![name.catalog, name.database, name.name],
        )?;
        transaction.execute(
            "INSERT INTO objects (catalog, database, name, kind, definition, owns_topic) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                object.name.catalog,
                object.name.database,
                object.name.name,
                object.kind.as_str(),
                object.definition,
                object.owns_topic
            ],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Forgets a table or view.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn remove_object(&self, name: &ObjectName) -> Result<()> {
        self.lock().execute(
            "DELETE FROM objects WHERE catalog = ?1 AND database = ?2 AND name = ?3",
            params![name.catalog, name.database, name.name],
        )?;
        Ok(())
    }

    /// Every table and view.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for a row of another form.
    pub(crate) fn objects(&self) -> Result<Vec<StoredObject>> {
        let connection = self.lock();
        let mut query = connection
            .prepare("SELECT catalog, database, name, kind, definition, owns_topic FROM objects")?;
        let rows = query.query_map([], |row| {
            let name = ObjectName {
                catalog: row.get(0)?,
                database: row.get(1)?,
                name: row.get(2)?,
            };
            Ok((
                name,
                row.get::<_, String>(3)?,
                row.get::<_, String>(4)?,
                row.get::<_, bool>(5)?,
            ))
        })?;
        rows.map(|row| {
            let (name, kind, definition, owns_topic) = row?;
            let kind = [ObjectKind::Table, ObjectKind::View]
                .into_iter()
                .find(|known| known.as_str() == kind)
                .ok_or_else(|| Error::Internal(format!("object {name} is a {kind}")))?;
            Ok(StoredObject {
                name,
                kind,
                definition,
                owns_topic,
            })
        })
        .collect()
    }

    /// Stores a pool, new or changed.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn put_pool(&self, pool: &Pool) -> Result<()> {
        self.lock().execute(
            "INSERT INTO pools (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            params![pool.id, serde_json::to_string(pool)?],
        )?;
        Ok(())
    }

    /// Forgets a pool.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn remove_pool(&self, id: &str) -> Result<()> {
        self.lock()
            .execute("DELETE FROM pools WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Every pool.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for a row of another form.
    pub(crate) fn pools(&self) -> Result<Vec<Pool>> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT record FROM pools ORDER BY id")?;
        let rows = query.query_map([], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }
}
