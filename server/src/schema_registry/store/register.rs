//! Registrations, lookups and comparisons of schemas.
//!
//! Place in the flow: POST requests, and statements that write framed records. Invariant: a schema becomes a version only after it was
//! read, its references were found and it was compared as its subject's level says; the same content again gives the id and version that
//! it has.

use rusqlite::{OptionalExtension as _, params};

use super::model::Identity;
use super::tables::{Tables, no_reference};
use super::{
    Deleted, Mode, NUMBER_MAX, NewSchema, Normalize, Reference, Refusal, Schema, SchemaStore,
    Subject, Version, VersionId,
};
use crate::schema_registry::compatibility::Level;
use crate::schema_registry::language::Parsed;

/// Largest schema text, bytes.
///
/// # Source
/// Confluent Cloud, "Schema Registry limits": 1 MB.
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// References that a schema names itself (guess, far above any seen).
const REFERENCES_MAX: usize = 100;

/// Bytes of metadata (guess, far above any seen).
const METADATA_BYTES_MAX: usize = 64 << 10;

/// Which versions a schema is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Those that the level asks for: the latest, or all.
    AsConfigured,
    /// One.
    One(VersionId),
}

/// A schema that was read.
#[derive(Debug)]
struct Candidate {
    /// The schema, without an id.
    schema: Schema,
    /// What it says.
    parsed: Parsed,
    /// What tells it apart.
    identity: Identity,
    /// Whether it is looked up normalized.
    is_normalized: bool,
}

impl SchemaStore {
    /// Registers a schema under a subject.
    ///
    /// # Errors
    /// `InvalidSchema`, `Incompatible`, `NotPermitted` in another mode, `IdTaken`.
    pub(crate) fn add(&self, subject: &Subject, new: &NewSchema) -> Result<Version, Refusal> {
        self.write(|tables| {
            let mut candidate = tables.read_new(subject, new, Deleted::Excluded)?;
            let known = tables.find(subject, &candidate, Deleted::Excluded)?;
            if let Some(known) = known
                && new.id.is_none_or(|id| id == known.schema.id)
            {
                return Ok(known);
            }
            tables.allow_add(subject, new)?;
            if let Some(id) = new.id {
                candidate.schema.id = id;
                tables.import(&candidate)?;
            } else {
                let level = tables.level(subject)?;
                let found = tables.compare(subject, &candidate.parsed, level)?;
                if !found.is_empty() {
                    return Err(Refusal::Incompatible {
                        subject: subject.qualified(),
                        details: found.join(", "),
                    });
                }
                tables.assign_id(&mut candidate)?;
            }
            let number = tables.next_version(subject, new)?;
            tables.connection.execute(
                "INSERT INTO versions VALUES (?1, ?2, ?3, ?4, 0)",
                params![subject.context, subject.name, number, candidate.schema.id],
            )?;
            Ok(Version {
                subject: subject.clone(),
                number,
                is_deleted: false,
                schema: candidate.schema,
            })
        })
    }

    /// The version of a subject that has a schema.
    ///
    /// # Errors
    /// `Subject` or `Schema` when there is none; `InvalidSchema`.
    pub(crate) fn find(
        &self,
        subject: &Subject,
        new: &NewSchema,
        deleted: Deleted,
    ) -> Result<Version, Refusal> {
        self.read(|tables| {
            if tables.numbers(subject, deleted)?.is_empty() {
                return Err(Refusal::Subject(subject.qualified()));
            }
            let candidate = tables.read_new(subject, new, Deleted::Included)?;
            let found = tables.find(subject, &candidate, deleted)?;
            found.ok_or(Refusal::Schema)
        })
    }

    /// Compares a schema with versions of a subject as the subject's level says; what stands in the way.
    ///
    /// # Errors
    /// `Version` for a version that is not there; `InvalidSchema`.
    pub(crate) fn compare(
        &self,
        subject: &Subject,
        new: &NewSchema,
        versions: Versions,
    ) -> Result<Vec<String>, Refusal> {
        self.read(|tables| {
            let candidate = tables.read_new(subject, new, Deleted::Excluded)?;
            let level = tables.level(subject)?;
            match versions {
                Versions::AsConfigured => tables.compare(subject, &candidate.parsed, level),
                Versions::One(id) => match tables.version(subject, id, Deleted::Excluded)? {
                    Some(version) => tables.compare_with(&candidate.parsed, &version, level),
                    // A subject without versions takes any schema.
                    None if id == VersionId::Latest => Ok(Vec::new()),
                    None => Err(missing(tables, subject, id)?),
                },
            }
        })
    }
}

/// The refusal for a version that is not there.
fn missing(tables: Tables<'_>, subject: &Subject, id: VersionId) -> Result<Refusal, Refusal> {
    let is_subject = !tables.numbers(subject, Deleted::Excluded)?.is_empty();
    Ok(match id {
        VersionId::Number(number) if is_subject => Refusal::Version(number.to_string()),
        VersionId::Number(_) | VersionId::Latest => Refusal::Subject(subject.qualified()),
    })
}

impl Tables<'_> {
    /// Reads a schema of a request; `deleted` says which references may be meant.
    fn read_new(
        self,
        subject: &Subject,
        new: &NewSchema,
        deleted: Deleted,
    ) -> Result<Candidate, Refusal> {
        if new.text.len() > SCHEMA_BYTES_MAX {
            return Err(Refusal::TooLarge(format!(
                "its text has more than {SCHEMA_BYTES_MAX} bytes"
            )));
        }
        if new.references.len() > REFERENCES_MAX || new.metadata.len() > METADATA_BYTES_MAX {
            return Err(Refusal::TooLarge(format!(
                "it has more than {REFERENCES_MAX} references or {METADATA_BYTES_MAX} bytes of metadata"
            )));
        }
        let references = new
            .references
            .iter()
            .map(|reference| self.resolved(subject, reference, deleted))
            .collect::<Result<Vec<_>, _>>()?;
        let texts = self.texts(&subject.context, &references)?;
        let parsed =
            Parsed::parse(new.language, &new.text, &texts).map_err(Refusal::InvalidSchema)?;
        let is_normalized = new.normalize == Normalize::Yes
            || self.effective_config(subject)?.normalize == Some(true);
        let language = new.language.as_str();
        let identity = if is_normalized {
            let normalized = Parsed::parse(new.language, &parsed.normalized_text(), &texts);
            let normalized = normalized.map_err(Refusal::InvalidSchema)?;
            Identity::of(language, &normalized, &references, &new.metadata)
        } else {
            Identity::of(language, &parsed, &references, &new.metadata)
        };
        let text = if is_normalized {
            parsed.normalized_text()
        } else {
            parsed.text()
        };
        Ok(Candidate {
            schema: Schema {
                context: subject.context.clone(),
                id: 0,
                guid: identity.guid.clone(),
                language: language.to_owned(),
                text,
                references,
                metadata: new.metadata.clone(),
            },
            parsed,
            identity,
            is_normalized,
        })
    }

    /// A reference with the number of its version.
    fn resolved(
        self,
        subject: &Subject,
        reference: &Reference,
        deleted: Deleted,
    ) -> Result<Reference, Refusal> {
        let target = Subject::named(&reference.subject, Some(&subject.context))?;
        let id = match reference.version {
            -1 => VersionId::Latest,
            number => VersionId::Number(number),
        };
        let found = self.version(&target, id, deleted)?;
        Ok(Reference {
            version: found.ok_or_else(|| no_reference(reference))?.number,
            ..reference.clone()
        })
    }

    /// The latest version of a subject that has a schema.
    fn find(
        self,
        subject: &Subject,
        candidate: &Candidate,
        deleted: Deleted,
    ) -> Result<Option<Version>, Refusal> {
        let (column, key) = if candidate.is_normalized {
            ("normal", &candidate.identity.normal)
        } else {
            ("guid", &candidate.identity.guid)
        };
        let rest = format!(
            "WHERE v.context = ?1 AND v.subject = ?2 AND s.{column} = ?3 AND {} ORDER BY v.version DESC LIMIT 1",
            deleted.condition()
        );
        let found = self.select(&rest, params![subject.context, subject.name, key])?;
        Ok(found.into_iter().next())
    }

    /// Refuses registrations that the subject's mode does not allow.
    fn allow_add(self, subject: &Subject, new: &NewSchema) -> Result<(), Refusal> {
        self.allow_write(subject)?;
        let is_import = self.mode(subject)? == Mode::Import;
        let is_not_in = match (new.id, is_import) {
            (Some(_), false) => "import",
            (None, true) => "read-write",
            (Some(_), true) | (None, false) => return Ok(()),
        };
        Err(Refusal::NotPermitted(format!(
            "Subject {} in context {} is not in {is_not_in} mode",
            subject.name, subject.context
        )))
    }

    /// Keeps a schema under the id that it has elsewhere.
    fn import(self, candidate: &Candidate) -> Result<(), Refusal> {
        let schema = &candidate.schema;
        let holder = self.schema(
            "s.context = ?1 AND s.id = ?2",
            params![schema.context, schema.id],
        )?;
        match holder {
            None => self.insert(schema, &candidate.identity),
            Some(holder) if holder.guid == candidate.identity.guid => Ok(()),
            Some(_) => Err(Refusal::IdTaken(schema.id)),
        }
    }

    /// Gives a schema the id of its content, or the next one.
    fn assign_id(self, candidate: &mut Candidate) -> Result<(), Refusal> {
        let schema = &mut candidate.schema;
        let known = self.schema(
            "s.context = ?1 AND s.guid = ?2",
            params![schema.context, candidate.identity.guid],
        )?;
        if let Some(known) = known {
            *schema = known;
            return Ok(());
        }
        let last: Option<i64> = self
            .connection
            .query_row(
                "SELECT last_id FROM contexts WHERE name = ?1",
                [&schema.context],
                |row| row.get(0),
            )
            .optional()?;
        schema.id = last.unwrap_or(0) + 1;
        if schema.id > NUMBER_MAX {
            return Err(Refusal::Store("the ids of the context are used up".into()));
        }
        self.insert(schema, &candidate.identity)
    }

    /// The number of a subject's next version, which is taken.
    fn next_version(self, subject: &Subject, new: &NewSchema) -> Result<i64, Refusal> {
        let key = params![subject.context, subject.name];
        let last: Option<i64> = self
            .connection
            .query_row(
                "SELECT last_version FROM subjects WHERE context = ?1 AND name = ?2",
                key,
                |row| row.get(0),
            )
            .optional()?;
        let next = last.unwrap_or(0) + 1;
        let number = new.version.unwrap_or(next);
        if new.id.is_none() && number != next {
            return Err(Refusal::NotPermitted(format!(
                "Version {number} is not the next one of subject {}, which is {next}",
                subject.qualified()
            )));
        }
        if number > NUMBER_MAX || self.numbers(subject, Deleted::Included)?.contains(&number) {
            return Err(Refusal::NotPermitted(format!(
                "Version {number} of subject {} is there already",
                subject.qualified()
            )));
        }
        self.connection.execute(
            "INSERT INTO subjects VALUES (?1, ?2, ?3) ON CONFLICT (context, name) DO UPDATE SET last_version = MAX(last_version, ?3)",
            params![subject.context, subject.name, number],
        )?;
        Ok(number)
    }

    /// Compares a schema with the versions that a level asks for; what stands in the way of the first that it does not fit.
    fn compare(
        self,
        subject: &Subject,
        parsed: &Parsed,
        level: Level,
    ) -> Result<Vec<String>, Refusal> {
        if level == Level::None {
            return Ok(Vec::new());
        }
        let mut versions = if level.is_transitive() {
            self.versions(subject, Deleted::Excluded)?
        } else {
            let latest = self.version(subject, VersionId::Latest, Deleted::Excluded)?;
            latest.into_iter().collect()
        };
        versions.reverse();
        for version in &versions {
            let found = self.compare_with(parsed, version, level)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Compares a schema with a version; what stands in the way, and then the version.
    fn compare_with(
        self,
        parsed: &Parsed,
        version: &Version,
        level: Level,
    ) -> Result<Vec<String>, Refusal> {
        if level == Level::None {
            return Ok(Vec::new());
        }
        let mut found = match self.parsed(&version.schema) {
            Ok(old) => differences(parsed, &old, level)?,
            Err(refusal) => vec![format!(
                "{{errorType:'OLD_SCHEMA_INVALID', description:'version {} cannot be compared: {refusal}; \
                 set compatibility NONE for this registration'}}",
                version.number
            )],
        };
        if !found.is_empty() {
            found.push(format!("{{oldSchemaVersion: {}}}", version.number));
            found.push(format!("{{oldSchema: '{}'}}", version.schema.text));
            found.push(format!("{{compatibility: '{}'}}", level.as_str()));
        }
        Ok(found)
    }
}

/// What stands between a new schema and an old one at a level.
fn differences(new: &Parsed, old: &Parsed, level: Level) -> Result<Vec<String>, Refusal> {
    let mut found = Vec::new();
    for (is_asked, reader, writer) in [
        (level.is_backward(), new, old),
        (level.is_forward(), old, new),
    ] {
        if !is_asked {
            continue;
        }
        let compared = reader.reads(writer);
        match compared.map_err(|error| Refusal::TooLarge(error.to_string()))? {
            Some(ones) => found.extend(ones.iter().map(ToString::to_string)),
            None => {
                return Ok(vec![
                    "{errorType:'SCHEMA_TYPE_CHANGED', description:'Incompatible because of different schema type'}"
                        .to_owned(),
                ]);
            }
        }
    }
    Ok(found)
}
