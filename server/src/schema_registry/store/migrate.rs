//! The tables of the registry's database and how older ones become them.
//!
//! Place in the flow: run once when the database is opened. Invariant: one transaction, so that a crash leaves the old form or the new one;
//! no id, version or text changes.

use rusqlite::{Connection, Transaction, params};

use super::subject::{DEFAULT_CONTEXT, Subject};
use super::tables::Tables;

/// The version of the tables, in `user_version`.
const VERSION: i64 = 1;

/// The tables of databases without a version: an empty database begins as one of those, so that there is one way only.
const FIRST: &str = "
CREATE TABLE IF NOT EXISTS schemas (
  id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, text TEXT NOT NULL, refs TEXT NOT NULL,
  UNIQUE (type, text, refs));
CREATE TABLE IF NOT EXISTS versions (
  subject TEXT NOT NULL, version INTEGER NOT NULL, schema_id INTEGER NOT NULL REFERENCES schemas (id),
  deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, version));
CREATE TABLE IF NOT EXISTS levels (subject TEXT PRIMARY KEY, level TEXT NOT NULL);
ALTER TABLE schemas RENAME TO old_schemas;
ALTER TABLE versions RENAME TO old_versions;
ALTER TABLE levels RENAME TO old_levels;
";

/// The tables. `guid` tells contents apart, `normal` normalized ones; both may be there twice, as older servers gave an id to each text.
const TABLES: &str = "
CREATE TABLE contexts (name TEXT PRIMARY KEY, last_id INTEGER NOT NULL) STRICT;
CREATE TABLE schemas (
  context TEXT NOT NULL, id INTEGER NOT NULL, type TEXT NOT NULL, text TEXT NOT NULL, refs TEXT NOT NULL, metadata TEXT NOT NULL,
  guid TEXT NOT NULL, normal TEXT NOT NULL, PRIMARY KEY (context, id)) STRICT;
CREATE INDEX schemas_by_guid ON schemas (guid);
CREATE TABLE subjects (
  context TEXT NOT NULL, name TEXT NOT NULL, last_version INTEGER NOT NULL, PRIMARY KEY (context, name)) STRICT;
CREATE TABLE versions (
  context TEXT NOT NULL, subject TEXT NOT NULL, version INTEGER NOT NULL, schema_id INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (context, subject, version)) STRICT;
CREATE INDEX versions_by_schema ON versions (context, schema_id);
CREATE TABLE schema_references (
  context TEXT NOT NULL, schema_id INTEGER NOT NULL, to_context TEXT NOT NULL, to_subject TEXT NOT NULL, to_version INTEGER NOT NULL,
  PRIMARY KEY (context, schema_id, to_context, to_subject, to_version)) STRICT;
CREATE INDEX schema_references_by_target ON schema_references (to_context, to_subject, to_version);
CREATE TABLE configs (
  context TEXT NOT NULL, subject TEXT NOT NULL, level TEXT, normalize INTEGER, PRIMARY KEY (context, subject)) STRICT;
CREATE TABLE modes (
  context TEXT NOT NULL, subject TEXT NOT NULL, mode TEXT NOT NULL, PRIMARY KEY (context, subject)) STRICT;
";

/// Brings a database up to date.
///
/// # Errors
/// What the database refuses; a text when a newer version of Weir wrote it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    let transaction = connection.transaction().map_err(told)?;
    let version: i64 = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(told)?;
    if version > VERSION {
        return Err(format!(
            "it was written by a newer version of weir (form {version}, this one knows {VERSION})"
        ));
    }
    if version < VERSION {
        transaction.execute_batch(FIRST).map_err(told)?;
        transaction.execute_batch(TABLES).map_err(told)?;
        copy(&transaction).map_err(told)?;
        let tables = Tables::new(&transaction);
        tables
            .identify_all()
            .map_err(|refusal| refusal.to_string())?;
        transaction
            .execute_batch(
                "DROP TABLE old_versions; DROP TABLE old_schemas; DROP TABLE old_levels;",
            )
            .map_err(told)?;
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(told)?;
    }
    transaction.commit().map_err(told)
}

/// Copies what older tables hold.
fn copy(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "INSERT INTO schemas SELECT '.', id, type, text, refs, '', '', '' FROM old_schemas;
         INSERT INTO contexts SELECT '.', COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'old_schemas'), 0);",
    )?;
    let mut statement =
        transaction.prepare("SELECT subject, version, schema_id, deleted FROM old_versions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (text, version, id): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let subject = migrated(&text);
        if subject.context != DEFAULT_CONTEXT {
            // Older servers knew no contexts and took a qualified name for a plain one: its schema is copied, its id stays.
            transaction.execute(
                "INSERT OR IGNORE INTO schemas SELECT ?1, id, type, text, refs, '', '', '' FROM old_schemas WHERE id = ?2",
                params![subject.context, id],
            )?;
            transaction.execute(
                "INSERT INTO contexts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last_id = MAX(last_id, ?2)",
                params![subject.context, id],
            )?;
        }
        transaction.execute(
            "INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                subject.context,
                subject.name,
                version,
                id,
                row.get::<_, i64>(3)?
            ],
        )?;
        transaction.execute(
            "INSERT INTO subjects VALUES (?1, ?2, ?3) ON CONFLICT (context, name) DO UPDATE SET last_version = MAX(last_version, ?3)",
            params![subject.context, subject.name, version],
        )?;
    }
    let mut statement = transaction.prepare("SELECT subject, level FROM old_levels")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (text, level): (String, String) = (row.get(0)?, row.get(1)?);
        let subject = migrated(&text);
        transaction.execute(
            "INSERT OR REPLACE INTO configs VALUES (?1, ?2, ?3, NULL)",
            params![subject.context, subject.name, level],
        )?;
    }
    Ok(())
}

/// The subject of an older name; one that would be refused today stays as it is.
fn migrated(text: &str) -> Subject {
    Subject::parse(text, None).unwrap_or_else(|_| Subject {
        context: DEFAULT_CONTEXT.to_owned(),
        name: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_registry::store::{Deleted, SchemaStore, VersionId};

    /// What a server of the first form left: made by its own code, with `.dump`.
    const OLD: &str = r#"
CREATE TABLE schemas (
               id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, text TEXT NOT NULL, refs TEXT NOT NULL,
               UNIQUE (type, text, refs));
INSERT INTO schemas VALUES(1,'AVRO','{ "type": "int" }','[]');
INSERT INTO schemas VALUES(2,'AVRO','{"type":"int"}','[]');
INSERT INTO schemas VALUES(3,'JSON','{"not": "what a schema may say, but once taken", "type": 3}','[]');
INSERT INTO schemas VALUES(4,'AVRO','{"type":"record","name":"R","fields":[]}','[]');
INSERT INTO schemas VALUES(5,'AVRO','{"type":"array","items":"R"}','[{"name":"R","subject":"a","version":3}]');
CREATE TABLE versions (
               subject TEXT NOT NULL, version INTEGER NOT NULL, schema_id INTEGER NOT NULL REFERENCES schemas (id),
               deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, version));
INSERT INTO versions VALUES('a',1,1,0);
INSERT INTO versions VALUES('a',2,2,1);
INSERT INTO versions VALUES('a',3,4,0);
INSERT INTO versions VALUES('b',1,3,0);
INSERT INTO versions VALUES('c',1,5,0);
INSERT INTO versions VALUES(':.x:d',1,2,0);
CREATE TABLE levels (subject TEXT PRIMARY KEY, level TEXT NOT NULL);
INSERT INTO levels VALUES('','NONE');
INSERT INTO levels VALUES('a','FULL');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('schemas',6);
"#;

    #[test]
    fn a_database_of_the_first_form_keeps_ids_versions_and_levels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("schemas.db");
        Connection::open(&path).unwrap().execute_batch(OLD).unwrap();
        for _ in 0..2 {
            let store = SchemaStore::open(dir.path()).unwrap();
            let subject = |text: &str| Subject::parse(text, None).unwrap();
            let a = subject("a");
            assert_eq!(store.versions(&a, Deleted::Excluded).unwrap(), [1, 3]);
            assert_eq!(store.versions(&a, Deleted::Included).unwrap(), [1, 2, 3]);
            let first = store.version(&a, VersionId::Number(1), Deleted::Excluded);
            let first = first.unwrap().schema;
            assert_eq!(
                (first.id, first.text.as_str()),
                (1, "{ \"type\": \"int\" }")
            );
            let odd = store.by_id(DEFAULT_CONTEXT, 3).unwrap();
            assert!(odd.text.contains("once taken"));
            let other = store.version(&subject(":.x:d"), VersionId::Latest, Deleted::Excluded);
            assert_eq!(other.unwrap().schema.id, 2);
            assert_eq!(store.referenced_by(&a, VersionId::Number(3)).unwrap(), [5]);
            assert_eq!(store.level(&subject("b")).unwrap().as_str(), "NONE");
            assert_eq!(store.level(&a).unwrap().as_str(), "FULL");
        }
        let store = SchemaStore::open(dir.path()).unwrap();
        let b = Subject::parse("new", None).unwrap();
        let text = |text: &str| crate::schema_registry::store::tests::avro(text);
        // The same content has the id that it had first; a new one goes on where the old server was.
        assert_eq!(store.add(&b, &text(" \"int\" ")).unwrap().schema.id, 1);
        let c = Subject::parse("newer", None).unwrap();
        assert_eq!(store.add(&c, &text("\"long\"")).unwrap().schema.id, 7);
    }

    #[test]
    fn a_database_of_a_newer_form_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(SchemaStore::open(dir.path()).unwrap());
        let connection = Connection::open(dir.path().join("schemas.db")).unwrap();
        connection.pragma_update(None, "user_version", 9).unwrap();
        drop(connection);
        let error = SchemaStore::open(dir.path()).unwrap_err();
        assert!(error.contains("newer version"), "{error}");
    }
}
