//! What is asked of the store.
//!
//! Place in the flow: GET requests, and lookups of statements. Invariant: nothing is changed.

use rusqlite::params;

use super::model::parse_guid;
use super::{Deleted, Filter, Refusal, Schema, SchemaStore, Subject, Version, VersionId};
use crate::schema_registry::language::Parsed;

impl SchemaStore {
    /// Subjects with a version, in order.
    pub(crate) fn subjects(&self, filter: &Filter) -> Result<Vec<String>, Refusal> {
        let sql = format!(
            "SELECT DISTINCT context, subject FROM versions v WHERE (?1 IS NULL OR context = ?1) AND substr(subject, 1, length(?2)) = ?2
             AND {} {} ORDER BY context, subject LIMIT ?3 OFFSET ?4",
            filter.deleted.condition(),
            match filter.deleted {
                // A subject counts as deleted once all of it is.
                Deleted::Only =>
                    "AND NOT EXISTS (SELECT 1 FROM versions w WHERE w.context = v.context AND w.subject = v.subject AND w.deleted = 0)",
                Deleted::Excluded | Deleted::Included => "",
            }
        );
        self.read(|tables| {
            let mut statement = tables.connection.prepare_cached(&sql)?;
            let parameters = params![filter.context, filter.prefix, filter.limit, filter.offset];
            let rows = statement.query_map(parameters, |row| {
                let (context, name) = (row.get(0)?, row.get(1)?);
                Ok(Subject { context, name }.qualified())
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Versions of subjects, in order; only the latest of each if `newest` says so.
    pub(crate) fn list(&self, filter: &Filter, newest: Newest) -> Result<Vec<Version>, Refusal> {
        let condition = filter.deleted.condition();
        let newest = match newest {
            Newest::All => String::new(),
            Newest::Only => format!(
                "AND v.version = (SELECT MAX(version) FROM versions w WHERE w.context = v.context AND w.subject = v.subject AND {})",
                condition.replace("v.", "w.")
            ),
        };
        let rest = format!(
            "WHERE (?1 IS NULL OR v.context = ?1) AND substr(v.subject, 1, length(?2)) = ?2 AND {condition} {newest}
             ORDER BY v.context, v.subject, v.version LIMIT ?3 OFFSET ?4"
        );
        let parameters = params![filter.context, filter.prefix, filter.limit, filter.offset];
        self.read(|tables| tables.select(&rest, parameters))
    }

    /// Numbers of the versions of a subject.
    ///
    /// # Errors
    /// `Subject` when there are none.
    pub(crate) fn versions(
        &self,
        subject: &Subject,
        deleted: Deleted,
    ) -> Result<Vec<i64>, Refusal> {
        let numbers = self.read(|tables| tables.numbers(subject, deleted))?;
        if numbers.is_empty() {
            return Err(Refusal::Subject(subject.qualified()));
        }
        Ok(numbers)
    }

    /// A version of a subject.
    ///
    /// # Errors
    /// `Subject` or `Version` when it is not there.
    pub(crate) fn version(
        &self,
        subject: &Subject,
        version: VersionId,
        deleted: Deleted,
    ) -> Result<Version, Refusal> {
        self.read(|tables| {
            if let Some(found) = tables.version(subject, version, deleted)? {
                return Ok(found);
            }
            let others = tables.numbers(subject, deleted)?;
            Err(match version {
                VersionId::Number(number) if !others.is_empty() => {
                    Refusal::Version(number.to_string())
                }
                VersionId::Number(_) | VersionId::Latest => Refusal::Subject(subject.qualified()),
            })
        })
    }

    /// The schema of an id in a context.
    ///
    /// # Errors
    /// `Schema` when there is none.
    pub(crate) fn by_id(&self, context: &str, id: i64) -> Result<Schema, Refusal> {
        let found =
            self.read(|tables| tables.schema("s.context = ?1 AND s.id = ?2", params![context, id]));
        found?.ok_or(Refusal::Schema)
    }

    /// The schema of a GUID, whatever its context.
    ///
    /// # Errors
    /// `Schema` when there is none.
    pub(crate) fn by_guid(&self, guid: &str) -> Result<Schema, Refusal> {
        let guid = parse_guid(guid).ok_or(Refusal::Schema)?;
        let found = self.read(|tables| tables.schema("s.guid = ?1", [guid]));
        found?.ok_or(Refusal::Schema)
    }

    /// Versions that have a schema.
    ///
    /// # Errors
    /// `Schema` when there is no such id.
    pub(crate) fn uses(
        &self,
        context: &str,
        id: i64,
        deleted: Deleted,
    ) -> Result<Vec<Version>, Refusal> {
        self.by_id(context, id)?;
        let rest = format!(
            "WHERE v.context = ?1 AND v.schema_id = ?2 AND {} ORDER BY v.subject, v.version",
            deleted.condition()
        );
        self.read(|tables| tables.select(&rest, params![context, id]))
    }

    /// Ids of the schemas that refer to a version and are in use.
    ///
    /// # Errors
    /// `Subject` or `Version` when it is not there.
    pub(crate) fn referenced_by(
        &self,
        subject: &Subject,
        version: VersionId,
    ) -> Result<Vec<i64>, Refusal> {
        let version = self.version(subject, version, Deleted::Included)?;
        self.read(|tables| tables.referrers(subject, version.number, Deleted::Excluded))
    }

    /// Contexts with a schema; the default one always.
    pub(crate) fn contexts(&self) -> Result<Vec<String>, Refusal> {
        self.read(|tables| {
            let sql = "SELECT '.' UNION SELECT context FROM versions ORDER BY 1";
            let mut statement = tables.connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Reads a stored schema with what it refers to.
    ///
    /// # Errors
    /// `InvalidSchema` for what an older server took.
    pub(crate) fn parsed(&self, schema: &Schema) -> Result<Parsed, Refusal> {
        self.read(|tables| tables.parsed(schema))
    }
}

/// Which versions of each subject are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newest {
    /// Every one.
    All,
    /// The latest.
    Only,
}
