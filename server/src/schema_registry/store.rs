//! Schemas, subjects and versions in SQLite.
//!
//! Place in the flow: statements and the HTTP API share one store. Invariant: an id is given to one text for ever; registering a text
//! again under a subject gives the id and version it has.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use weir_runtime::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};

/// Largest schema text, bytes (guess: far above any schema seen).
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// The level where none was set (Schema Registry's default).
const LEVEL_DEFAULT: &str = "BACKWARD";

/// Why a request is refused, with Schema Registry's error codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// 40401.
    #[error("Subject '{0}' not found.")]
    Subject(String),
    /// 40402.
    #[error("Version {0} not found.")]
    Version(String),
    /// 40403.
    #[error("Schema not found")]
    Schema,
    /// 42201.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// 42203.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"
    )]
    Level,
    /// 50001.
    #[error("Error in the backend data store: {0}")]
    Store(String),
}

impl Refusal {
    /// The code in the answer.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Subject(_) => 40401,
            Self::Version(_) => 40402,
            Self::Schema => 40403,
            Self::InvalidSchema(_) => 42201,
            Self::Level => 42203,
            Self::Store(_) => 50001,
        }
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// A schema as a version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Subject.
    pub(crate) subject: String,
    /// From 1.
    pub(crate) number: i64,
    /// The schema.
    pub(crate) schema: Schema,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Id, from 1.
    pub(crate) id: i64,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) language: String,
    /// Text.
    pub(crate) text: String,
    /// References as they were given: a JSON array.
    pub(crate) references: String,
}

/// A schema to register or look up.
#[derive(Debug, Clone)]
pub(crate) struct NewSchema<'a> {
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) schema_type: &'a str,
    /// Text.
    pub(crate) text: &'a str,
    /// A JSON array.
    pub(crate) references: &'a str,
}

/// The registry's database.
#[derive(Debug)]
pub struct SchemaStore {
    /// The one connection: writes are serial anyway.
    connection: Mutex<Connection>,
}

/// Columns of a version, in the order of [`read_version`].
const COLUMNS: &str = "v.subject, v.version, s.id, s.type, s.text, s.refs FROM versions v JOIN schemas s ON s.id = v.schema_id";

/// Reads a version.
fn read_version(row: &rusqlite::Row<'_>) -> rusqlite::Result<Version> {
    let schema = Schema {
        id: row.get(2)?,
        language: row.get(3)?,
        text: row.get(4)?,
        references: row.get(5)?,
    };
    Ok(Version {
        subject: row.get(0)?,
        number: row.get(1)?,
        schema,
    })
}

impl SchemaStore {
    /// Opens the database `schemas.db` of a directory.
    ///
    /// # Errors
    /// A message naming the file when it cannot be opened.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let path = dir.join("schemas.db");
        Self::create(&path)
            .map_err(|error| format!("cannot open database \"{}\": {error}", path.display()))
    }

    /// Opens the file and makes its tables.
    fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS schemas (
               id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, text TEXT NOT NULL, refs TEXT NOT NULL,
               UNIQUE (type, text, refs));
             CREATE TABLE IF NOT EXISTS versions (
               subject TEXT NOT NULL, version INTEGER NOT NULL, schema_id INTEGER NOT NULL REFERENCES schemas (id),
               deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, version));
             CREATE TABLE IF NOT EXISTS levels (subject TEXT PRIMARY KEY, level TEXT NOT NULL);",
        )?;
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

    /// Registers a schema under a subject.
    pub(crate) fn add(&self, subject: &str, new: &NewSchema<'_>) -> Result<Version, Refusal> {
        check(new)?;
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT OR IGNORE INTO schemas (type, text, refs) VALUES (?1, ?2, ?3)",
            params![new.schema_type, new.text, new.references],
        )?;
        let id: i64 = transaction.query_row(
            "SELECT id FROM schemas WHERE type = ?1 AND text = ?2 AND refs = ?3",
            params![new.schema_type, new.text, new.references],
            |row| row.get(0),
        )?;
        let known: Option<i64> = transaction
            .query_row(
                "SELECT version FROM versions WHERE subject = ?1 AND schema_id = ?2 AND deleted = 0",
                params![subject, id],
                |row| row.get(0),
            )
            .optional()?;
        let version = if let Some(version) = known {
            version
        } else {
            transaction.execute(
                "INSERT INTO versions (subject, version, schema_id)
                 SELECT ?1, COALESCE(MAX(version), 0) + 1, ?2 FROM versions WHERE subject = ?1",
                params![subject, id],
            )?;
            transaction.query_row(
                "SELECT MAX(version) FROM versions WHERE subject = ?1",
                [subject],
                |row| row.get(0),
            )?
        };
        transaction.commit()?;
        let schema = Schema {
            id,
            language: new.schema_type.to_owned(),
            text: new.text.to_owned(),
            references: new.references.to_owned(),
        };
        Ok(Version {
            subject: subject.to_owned(),
            number: version,
            schema,
        })
    }

    /// The version of a subject that has a text.
    pub(crate) fn find(&self, subject: &str, new: &NewSchema<'_>) -> Result<Version, Refusal> {
        self.versions(subject)?;
        let sql = format!(
            "SELECT {COLUMNS} WHERE v.subject = ?1 AND v.deleted = 0 AND s.type = ?2 AND s.text = ?3 AND s.refs = ?4"
        );
        let connection = self.lock();
        let found = connection.query_row(
            &sql,
            params![subject, new.schema_type, new.text, new.references],
            read_version,
        );
        found.optional()?.ok_or(Refusal::Schema)
    }

    /// Subjects with a version.
    pub(crate) fn subjects(&self) -> Result<Vec<String>, Refusal> {
        let connection = self.lock();
        let mut statement = connection
            .prepare("SELECT DISTINCT subject FROM versions WHERE deleted = 0 ORDER BY subject")?;
        let subjects = statement
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(subjects)
    }

    /// Versions of a subject.
    pub(crate) fn versions(&self, subject: &str) -> Result<Vec<i64>, Refusal> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT version FROM versions WHERE subject = ?1 AND deleted = 0 ORDER BY version",
        )?;
        let versions: Vec<i64> = statement
            .query_map([subject], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if versions.is_empty() {
            Err(Refusal::Subject(subject.to_owned()))
        } else {
            Ok(versions)
        }
    }

    /// A version of a subject: a number or `latest`.
    pub(crate) fn version(&self, subject: &str, version: &str) -> Result<Version, Refusal> {
        let versions = self.versions(subject)?;
        let number = match version {
            "latest" | "-1" => versions.last().copied(),
            number => number
                .parse()
                .ok()
                .filter(|number| versions.contains(number)),
        };
        let number = number.ok_or_else(|| Refusal::Version(version.to_owned()))?;
        let sql = format!("SELECT {COLUMNS} WHERE v.subject = ?1 AND v.version = ?2");
        Ok(self
            .lock()
            .query_row(&sql, params![subject, number], read_version)?)
    }

    /// The schema of an id, and where it is used.
    pub(crate) fn by_id(&self, id: i64) -> Result<(Schema, Vec<(String, i64)>), Refusal> {
        let connection = self.lock();
        let schema = connection
            .query_row(
                "SELECT id, type, text, refs FROM schemas WHERE id = ?1",
                [id],
                |row| {
                    Ok(Schema {
                        id: row.get(0)?,
                        language: row.get(1)?,
                        text: row.get(2)?,
                        references: row.get(3)?,
                    })
                },
            )
            .optional()?
            .ok_or(Refusal::Schema)?;
        let mut statement = connection
            .prepare("SELECT subject, version FROM versions WHERE schema_id = ?1 AND deleted = 0 ORDER BY subject, version")?;
        let uses = statement
            .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok((schema, uses))
    }

    /// Deletes a version, or all versions of a subject; which ones. Ids stay readable, as records refer to them.
    pub(crate) fn delete(&self, subject: &str, version: Option<&str>) -> Result<Vec<i64>, Refusal> {
        let versions = match version {
            Some(version) => vec![self.version(subject, version)?.number],
            None => self.versions(subject)?,
        };
        let connection = self.lock();
        for version in &versions {
            connection.execute(
                "UPDATE versions SET deleted = 1 WHERE subject = ?1 AND version = ?2",
                params![subject, version],
            )?;
        }
        Ok(versions)
    }

    /// The compatibility level of a subject, or of all (`None`).
    pub(crate) fn level(&self, subject: Option<&str>) -> Result<String, Refusal> {
        let connection = self.lock();
        let get = |key: &str| {
            connection
                .query_row(
                    "SELECT level FROM levels WHERE subject = ?1",
                    [key],
                    |row| row.get::<_, String>(0),
                )
                .optional()
        };
        let own = subject.map(get).transpose()?.flatten();
        let level = match own {
            Some(level) => Some(level),
            None => get("")?,
        };
        Ok(level.unwrap_or_else(|| LEVEL_DEFAULT.to_owned()))
    }

    /// Sets a compatibility level.
    pub(crate) fn set_level(&self, subject: Option<&str>, level: &str) -> Result<(), Refusal> {
        const LEVELS: [&str; 7] = [
            "NONE",
            "BACKWARD",
            "FORWARD",
            "FULL",
            "BACKWARD_TRANSITIVE",
            "FORWARD_TRANSITIVE",
            "FULL_TRANSITIVE",
        ];
        if !LEVELS.contains(&level) {
            return Err(Refusal::Level);
        }
        self.lock().execute(
            "INSERT INTO levels (subject, level) VALUES (?1, ?2) ON CONFLICT (subject) DO UPDATE SET level = ?2",
            params![subject.unwrap_or(""), level],
        )?;
        Ok(())
    }
}

/// Refuses texts that cannot be schemas of their language.
fn check(new: &NewSchema<'_>) -> Result<(), Refusal> {
    if new.text.len() > SCHEMA_BYTES_MAX {
        return Err(Refusal::InvalidSchema(format!(
            "it is longer than {SCHEMA_BYTES_MAX} bytes"
        )));
    }
    if SchemaType::parse(Some(new.schema_type)).is_none() {
        return Err(Refusal::InvalidSchema(format!(
            "there is no schema type {}",
            new.schema_type
        )));
    }
    if new.schema_type != "PROTOBUF"
        && let Err(error) = serde_json::from_str::<serde_json::Value>(new.text)
    {
        // Avro allows a bare type name such as `string`, which is no JSON.
        let is_name =
            new.schema_type == "AVRO" && new.text.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_name {
            return Err(Refusal::InvalidSchema(error.to_string()));
        }
    }
    Ok(())
}

impl SchemaRegistry for SchemaStore {
    fn register(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
    ) -> weir_runtime::Result<i32> {
        let new = NewSchema {
            schema_type: schema_type.as_str(),
            text: schema,
            references: "[]",
        };
        let version = self
            .add(subject, &new)
            .map_err(|refusal| into_runtime(&refusal))?;
        i32::try_from(version.schema.id)
            .map_err(|_| weir_runtime::Error::internal("schema ids are used up"))
    }

    fn schema(&self, id: i32) -> weir_runtime::Result<Option<RegisteredSchema>> {
        match self.by_id(i64::from(id)) {
            Ok((schema, _)) => into_registered(schema),
            Err(Refusal::Schema) => Ok(None),
            Err(other) => Err(into_runtime(&other)),
        }
    }

    fn latest(&self, subject: &str) -> weir_runtime::Result<Option<RegisteredSchema>> {
        match self.version(subject, "latest") {
            Ok(version) => into_registered(version.schema),
            Err(Refusal::Subject(_) | Refusal::Version(_)) => Ok(None),
            Err(other) => Err(into_runtime(&other)),
        }
    }

    fn version(
        &self,
        subject: &str,
        version: i32,
    ) -> weir_runtime::Result<Option<RegisteredSchema>> {
        let sql = format!("SELECT {COLUMNS} WHERE v.subject = ?1 AND v.version = ?2");
        let found = self
            .lock()
            .query_row(&sql, params![subject, version], read_version)
            .optional()
            .map_err(|error| into_runtime(&error.into()))?;
        found.map_or(Ok(None), |version| into_registered(version.schema))
    }
}

/// A schema as formats see it; absent in a language that they do not know.
fn into_registered(schema: Schema) -> weir_runtime::Result<Option<RegisteredSchema>> {
    let id = i32::try_from(schema.id)
        .map_err(|_| weir_runtime::Error::internal("a schema id of more than 32 bits"))?;
    let references = serde_json::from_str(&schema.references).map_err(|error| {
        let message = format!("embedded Schema Registry: references of schema {id}: {error}");
        weir_runtime::Error::validation(message)
    })?;
    let schema_type = SchemaType::parse(Some(&schema.language));
    Ok(schema_type.map(|schema_type| RegisteredSchema {
        id,
        schema_type,
        schema: schema.text,
        references,
    }))
}

/// A refusal as an error of the runtime.
fn into_runtime(refusal: &Refusal) -> weir_runtime::Error {
    let message = format!("embedded Schema Registry: {refusal}");
    match refusal {
        Refusal::Store(_) => weir_runtime::Error::storage(message),
        _ => weir_runtime::Error::validation(message),
    }
}
