//! The tables of the database and how older ones become them.

use rusqlite::{Connection, OptionalExtension as _};

use crate::error::{Error, Result};

/// Steps from an empty database on; the number of steps done is the version. Steps are never changed, only added.
const STEPS: [&str; 3] = [
    "
CREATE TABLE statements (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  uid    TEXT NOT NULL UNIQUE,
  name   TEXT NOT NULL,
  phase  TEXT NOT NULL,
  record TEXT NOT NULL,
  plan   TEXT,
  rows   TEXT
) STRICT;
CREATE UNIQUE INDEX statement_names ON statements (name) WHERE phase <> 'DELETING';
CREATE TABLE statement_events (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  uid    TEXT NOT NULL,
  at_ms  INTEGER NOT NULL,
  kind   TEXT NOT NULL,
  phase  TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX statement_events_by_uid ON statement_events (uid, seq);
CREATE TABLE objects (
  catalog    TEXT NOT NULL,
  database   TEXT NOT NULL,
  name       TEXT NOT NULL,
  kind       TEXT NOT NULL,
  definition TEXT NOT NULL,
  owns_topic INTEGER NOT NULL,
  PRIMARY KEY (catalog, database, name)
) STRICT;
CREATE TABLE pools (
  id     TEXT PRIMARY KEY,
  record TEXT NOT NULL
) STRICT;
CREATE TABLE ledger (
  uid     TEXT NOT NULL,
  pool_id TEXT NOT NULL,
  minute  INTEGER NOT NULL,
  name    TEXT NOT NULL,
  slot_ms INTEGER NOT NULL,
  PRIMARY KEY (uid, pool_id, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_by_minute ON ledger (minute);
",
    "
ALTER TABLE statement_events ADD COLUMN class TEXT;
ALTER TABLE statement_events ADD COLUMN code TEXT;
ALTER TABLE statement_events ADD COLUMN is_recoverable INTEGER;
CREATE TABLE savepoints (
  uid           TEXT NOT NULL,
  name          TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  record        TEXT NOT NULL,
  PRIMARY KEY (uid, name)
) STRICT;
",
    "
CREATE TABLE resources (
  kind       TEXT NOT NULL,
  catalog    TEXT NOT NULL,
  database   TEXT NOT NULL,
  name       TEXT NOT NULL,
  definition TEXT NOT NULL,
  PRIMARY KEY (kind, catalog, database, name)
) STRICT;
",
];

/// Brings a database up to date.
///
/// # Errors
/// `Storage` when it cannot be changed; `Start` when a newer version of Weir wrote it.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    )?;
    let version: Option<i64> = transaction
        .query_row(
            "SELECT value FROM meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    let done = usize::try_from(version.unwrap_or(0)).unwrap_or(usize::MAX);
    let Some(missing) = STEPS.get(done..) else {
        return Err(Error::Start(format!(
            "the data directory was written by a newer version of weir (schema {done}, this one knows {})",
            STEPS.len()
        )));
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('schema_version', ?1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [i64::try_from(STEPS.len()).unwrap_or(i64::MAX)],
    )?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_the_first_version_is_brought_up_to_date() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
                 INSERT INTO meta VALUES ('schema_version', 1);
                 INSERT INTO statement_events (uid, at_ms, kind, phase, detail)
                 VALUES ('u', 1, 'EXCEPTION', 'RUNNING', 'WEIR-2001: broker');",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let class: Option<String> = connection
            .query_row("SELECT class FROM statement_events", [], |row| row.get(0))
            .unwrap();
        assert_eq!(class, None);
    }

    #[test]
    fn migrating_twice_changes_nothing_and_a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute("UPDATE meta SET value = 99", [])
            .unwrap();
        let error = migrate(&mut connection).unwrap_err().to_string();
        assert!(error.contains("newer version"), "{error}");
    }
}
