//! Savepoints of statements: where they are and what they hold. Their bytes are in the store of checkpoints.

use rusqlite::params;

use super::Store;
use crate::error::{Error, Result};
use crate::statement::Savepoint;

impl Store {
    /// Stores a savepoint; the same name again replaces it.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn put_savepoint(&self, savepoint: &Savepoint) -> Result<()> {
        self.lock().execute(
            "INSERT INTO savepoints (uid, name, created_at_ms, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (uid, name) DO UPDATE SET created_at_ms = excluded.created_at_ms, record = excluded.record",
            params![
                savepoint.statement_uid,
                savepoint.name,
                savepoint.created_at_ms,
                serde_json::to_string(savepoint)?
            ],
        )?;
        Ok(())
    }

    /// Savepoints of a statement, newest first.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for a row of another form.
    pub(crate) fn savepoints(&self, uid: &str) -> Result<Vec<Savepoint>> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT record FROM savepoints WHERE uid = ?1 ORDER BY created_at_ms DESC, name",
        )?;
        let rows = query.query_map([uid], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }

    /// The savepoint of that name.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Storage` when the database refuses.
    pub(crate) fn savepoint(&self, uid: &str, name: &str) -> Result<Savepoint> {
        let mut all = self.savepoints(uid)?.into_iter();
        all.find(|savepoint| savepoint.name == name)
            .ok_or_else(|| Error::NotFound(format!("Savepoint {name} not found")))
    }

    /// Forgets a savepoint.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn remove_savepoint(&self, uid: &str, name: &str) -> Result<()> {
        self.lock().execute(
            "DELETE FROM savepoints WHERE uid = ?1 AND name = ?2",
            [uid, name],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A savepoint.
    fn savepoint(name: &str, created_at_ms: i64) -> Savepoint {
        Savepoint {
            name: name.to_owned(),
            statement_uid: "u".to_owned(),
            statement_name: "s".to_owned(),
            location: format!("/savepoints/{name}"),
            run: "r".to_owned(),
            epoch: 3,
            offsets: BTreeMap::new(),
            initial_offsets: crate::statement::InitialOffsets::default(),
            created_at_ms,
        }
    }

    #[test]
    fn savepoints_are_listed_newest_first_and_forgotten_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for (name, at) in [("a", 1), ("b", 2), ("a", 3)] {
            store.put_savepoint(&savepoint(name, at)).unwrap();
        }
        let all = store.savepoints("u").unwrap();
        assert_eq!(all, vec![savepoint("a", 3), savepoint("b", 2)]);
        assert_eq!(store.savepoint("u", "b").unwrap().epoch, 3);
        store.remove_savepoint("u", "b").unwrap();
        assert!(matches!(store.savepoint("u", "b"), Err(Error::NotFound(_))));
        assert!(store.savepoints("other").unwrap().is_empty());
    }
}
