//! Reads and writes of rows, within whatever transaction is open.
//!
//! Place in the flow: below every call of the store. Invariant: a schema's references are in their own table too, so that nothing that is
//! referred to is deleted unseen.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use weir_runtime::format::registry::SchemaType;

use super::model::{Identity, json};
use super::{Deleted, Reference, Refusal, Schema, Subject, Version, VersionId};
use crate::schema_registry::language::Parsed;

/// Schemas that one may refer to, directly or not (guess, far above any seen).
const REFERENCES_MAX: usize = 1_000;

/// References that lead to one another in a row (guess, far above any seen).
const REFERENCE_DEPTH_MAX: usize = 32;

/// Bytes of a schema and all that it refers to (guess, far above any seen).
const REFERENCES_BYTES_MAX: usize = 8 << 20;

/// Columns of a schema, in the order of [`read_schema`].
const SCHEMA: &str = "s.context, s.id, s.guid, s.type, s.text, s.refs, s.metadata";

/// A version with its schema.
const JOINED: &str =
    "FROM versions v JOIN schemas s ON s.context = v.context AND s.id = v.schema_id";

/// The tables of an open database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables<'a> {
    /// The connection or transaction.
    pub(super) connection: &'a Connection,
}

/// Reads a schema.
fn read_schema(row: &Row<'_>) -> rusqlite::Result<Schema> {
    let references: String = row.get(5)?;
    Ok(Schema {
        context: row.get(0)?,
        id: row.get(1)?,
        guid: row.get(2)?,
        language: row.get(3)?,
        text: row.get(4)?,
        // What older servers stored need not be a list of references.
        references: serde_json::from_str(&references).unwrap_or_default(),
        metadata: row.get(6)?,
    })
}

/// Reads a version behind its schema.
fn read_version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let schema = read_schema(row)?;
    Ok(Version {
        subject: Subject {
            context: schema.context.clone(),
            name: row.get(7)?,
        },
        number: row.get(8)?,
        is_deleted: row.get::<_, i64>(9)? != 0,
        schema,
    })
}

impl<'a> Tables<'a> {
    /// The tables of a connection.
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    /// Versions that a condition and the rest of a query select.
    pub(super) fn select(
        self,
        rest: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Version>, Refusal> {
        let sql = format!("SELECT {SCHEMA}, v.subject, v.version, v.deleted {JOINED} {rest}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(parameters, read_version)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Versions of a subject, the lowest first; none when there is no such subject.
    pub(super) fn versions(
        self,
        subject: &Subject,
        deleted: Deleted,
    ) -> Result<Vec<Version>, Refusal> {
        let rest = format!(
            "WHERE v.context = ?1 AND v.subject = ?2 AND {} ORDER BY v.version",
            deleted.condition()
        );
        self.select(&rest, params![subject.context, subject.name])
    }

    /// Numbers of the versions of a subject, as [`Self::versions`].
    pub(super) fn numbers(self, subject: &Subject, deleted: Deleted) -> Result<Vec<i64>, Refusal> {
        let sql = format!(
            "SELECT version FROM versions v WHERE context = ?1 AND subject = ?2 AND {} ORDER BY version",
            deleted.condition()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![subject.context, subject.name], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A version of a subject, if it is there.
    pub(super) fn version(
        self,
        subject: &Subject,
        version: VersionId,
        deleted: Deleted,
    ) -> Result<Option<Version>, Refusal> {
        let number = match version {
            VersionId::Latest => None,
            VersionId::Number(number) => Some(number),
        };
        let rest = format!(
            "WHERE v.context = ?1 AND v.subject = ?2 AND (?3 IS NULL OR v.version = ?3) AND {} ORDER BY v.version DESC LIMIT 1",
            deleted.condition()
        );
        let found = self.select(&rest, params![subject.context, subject.name, number])?;
        Ok(found.into_iter().next())
    }

    /// A schema of a context that a condition selects; the one with the lowest id.
    pub(super) fn schema(
        self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Option<Schema>, Refusal> {
        let sql = format!("SELECT {SCHEMA} FROM schemas s WHERE {condition} ORDER BY s.id LIMIT 1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(parameters, read_schema).optional()?)
    }

    /// Keeps a schema.
    pub(super) fn insert(self, schema: &Schema, identity: &Identity) -> Result<(), Refusal> {
        let references = json(&schema.references);
        self.connection.execute(
            "INSERT INTO schemas (context, id, type, text, refs, metadata, guid, normal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                schema.context,
                schema.id,
                schema.language,
                schema.text,
                references,
                schema.metadata,
                identity.guid,
                identity.normal
            ],
        )?;
        self.connection.execute(
            "INSERT INTO contexts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last_id = MAX(last_id, ?2)",
            params![schema.context, schema.id],
        )?;
        self.link(schema)
    }

    /// Keeps what a schema refers to.
    fn link(self, schema: &Schema) -> Result<(), Refusal> {
        for reference in &schema.references {
            let Ok(target) = Subject::parse(&reference.subject, Some(&schema.context)) else {
                continue;
            };
            self.connection.execute(
                "INSERT OR IGNORE INTO schema_references VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    schema.context,
                    schema.id,
                    target.context,
                    target.name,
                    reference.version
                ],
            )?;
        }
        Ok(())
    }

    /// Finds out what identifies every schema, for those of older servers.
    pub(super) fn identify_all(self) -> Result<(), Refusal> {
        let sql = format!("SELECT {SCHEMA} FROM schemas s");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map([], read_schema)?;
        let schemas: Vec<Schema> = rows.collect::<rusqlite::Result<_>>()?;
        for schema in schemas {
            let identity = match self.parsed(&schema) {
                Ok(parsed) => Identity::of(
                    &schema.language,
                    &parsed,
                    &schema.references,
                    &schema.metadata,
                ),
                Err(_) => {
                    Identity::of_text(&schema.language, &schema.text, &json(&schema.references))
                }
            };
            self.connection.execute(
                "UPDATE schemas SET guid = ?3, normal = ?4 WHERE context = ?1 AND id = ?2",
                params![schema.context, schema.id, identity.guid, identity.normal],
            )?;
            self.link(&schema)?;
        }
        Ok(())
    }

    /// Reads a stored schema with what it refers to.
    pub(super) fn parsed(self, schema: &Schema) -> Result<Parsed, Refusal> {
        let mut texts = Texts::default();
        self.collect(&schema.context, &schema.references, &mut texts, 0)?;
        let language = SchemaType::parse(Some(&schema.language)).ok_or_else(|| {
            Refusal::InvalidSchema(format!("there is no schema type {}", schema.language))
        })?;
        Parsed::parse(language, &schema.text, &texts.all).map_err(Refusal::InvalidSchema)
    }

    /// Names and texts of all that references lead to, those that are referred to first.
    pub(super) fn texts(
        self,
        context: &str,
        references: &[Reference],
    ) -> Result<Vec<(String, String)>, Refusal> {
        let mut texts = Texts::default();
        self.collect(context, references, &mut texts, 0)?;
        Ok(texts.all)
    }

    /// As [`Self::texts`], from some depth on.
    fn collect(
        self,
        context: &str,
        references: &[Reference],
        texts: &mut Texts,
        depth: usize,
    ) -> Result<(), Refusal> {
        if depth > REFERENCE_DEPTH_MAX {
            return Err(Refusal::InvalidSchema(format!(
                "references lead to one another more than {REFERENCE_DEPTH_MAX} times in a row"
            )));
        }
        for reference in references {
            let subject = Subject::named(&reference.subject, Some(context))?;
            let target = (subject.qualified(), reference.version);
            if let Some((_, known)) = texts
                .targets
                .iter()
                .find(|(name, _)| *name == reference.name)
            {
                if *known == target {
                    continue;
                }
                return Err(Refusal::InvalidSchema(format!(
                    "reference \"{}\" stands for two schemas",
                    reference.name
                )));
            }
            texts.targets.push((reference.name.clone(), target));
            let version = VersionId::Number(reference.version);
            let version = self.version(&subject, version, Deleted::Included)?;
            let schema = version.ok_or_else(|| no_reference(reference))?.schema;
            self.collect(&schema.context, &schema.references, texts, depth + 1)?;
            texts.bytes += schema.text.len();
            texts.all.push((reference.name.clone(), schema.text));
            if texts.targets.len() > REFERENCES_MAX || texts.bytes > REFERENCES_BYTES_MAX {
                return Err(Refusal::TooLarge(format!(
                    "it refers to more than {REFERENCES_MAX} schemas or {REFERENCES_BYTES_MAX} bytes"
                )));
            }
        }
        Ok(())
    }
}

/// What references lead to.
#[derive(Debug, Default)]
struct Texts {
    /// Names and texts.
    all: Vec<(String, String)>,
    /// Names, and the subject and version that each stands for.
    targets: Vec<(String, (String, i64))>,
    /// Bytes of the texts.
    bytes: usize,
}

/// A reference to nothing.
pub(super) fn no_reference(reference: &Reference) -> Refusal {
    Refusal::InvalidSchema(format!(
        "reference \"{}\": there is no version {} of subject \"{}\"",
        reference.name, reference.version, reference.subject
    ))
}
