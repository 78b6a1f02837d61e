//! Deletes of versions and subjects.
//!
//! Place in the flow: DELETE requests. Invariant: what is referred to stays; a version that was deleted stays readable until it is deleted
//! a second time, permanently, and so does its id; the number of a version that was deleted is not given again while its subject is there.

use rusqlite::params;

use super::tables::Tables;
use super::{Deleted, Deletion, Refusal, SchemaStore, Subject, Version, VersionId};

impl SchemaStore {
    /// Deletes a version; its number.
    ///
    /// # Errors
    /// `Subject`, `Version`, and those of what must come first.
    pub(crate) fn delete_version(
        &self,
        subject: &Subject,
        version: VersionId,
        deletion: Deletion,
    ) -> Result<i64, Refusal> {
        let deleted = match (version, deletion) {
            (VersionId::Latest, Deletion::Soft) => Deleted::Excluded,
            (VersionId::Latest, Deletion::Permanent) => Deleted::Only,
            (VersionId::Number(_), _) => Deleted::Included,
        };
        let found = self.version(subject, version, deleted)?;
        self.write(|tables| {
            tables.allow_write(subject)?;
            let number = found.number;
            match (deletion, found.is_deleted) {
                (Deletion::Soft, true) => {
                    return Err(Refusal::VersionSoftDeleted(subject.qualified(), number));
                }
                (Deletion::Permanent, false) => {
                    return Err(Refusal::VersionNotSoftDeleted(subject.qualified(), number));
                }
                (Deletion::Soft, false) | (Deletion::Permanent, true) => {}
            }
            tables.delete(&found, deletion)?;
            Ok(number)
        })
    }

    /// Deletes every version of a subject; their numbers.
    ///
    /// # Errors
    /// `Subject`, and those of what must come first.
    pub(crate) fn delete_subject(
        &self,
        subject: &Subject,
        deletion: Deletion,
    ) -> Result<Vec<i64>, Refusal> {
        self.write(|tables| {
            tables.allow_write(subject)?;
            let all = tables.versions(subject, Deleted::Included)?;
            let live = all.iter().any(|version| !version.is_deleted);
            let name = || subject.qualified();
            match (deletion, live) {
                _ if all.is_empty() => return Err(Refusal::Subject(name())),
                (Deletion::Soft, false) => return Err(Refusal::SubjectSoftDeleted(name())),
                (Deletion::Permanent, true) => return Err(Refusal::SubjectNotSoftDeleted(name())),
                (Deletion::Soft, true) | (Deletion::Permanent, false) => {}
            }
            let gone = all
                .into_iter()
                .filter(|version| version.is_deleted == (deletion == Deletion::Permanent));
            // Later versions first: they may refer to earlier ones.
            let mut numbers = Vec::new();
            let mut gone: Vec<Version> = gone.collect();
            gone.reverse();
            for version in &gone {
                tables.delete(version, deletion)?;
                numbers.push(version.number);
            }
            tables.forget_settings(subject)?;
            if deletion == Deletion::Permanent {
                tables.connection.execute(
                    "DELETE FROM subjects WHERE context = ?1 AND name = ?2",
                    params![subject.context, subject.name],
                )?;
            }
            numbers.reverse();
            Ok(numbers)
        })
    }
}

impl Tables<'_> {
    /// Deletes a version that nothing refers to.
    fn delete(self, version: &Version, deletion: Deletion) -> Result<(), Refusal> {
        let (subject, number) = (&version.subject, version.number);
        let counted = match deletion {
            Deletion::Soft => Deleted::Excluded,
            // What was deleted softly may be asked for still.
            Deletion::Permanent => Deleted::Included,
        };
        if !self.referrers(subject, number, counted)?.is_empty() {
            return Err(Refusal::Referenced(subject.qualified(), number));
        }
        let key = params![subject.context, subject.name, number];
        let change = match deletion {
            Deletion::Soft => "UPDATE versions SET deleted = 1",
            Deletion::Permanent => "DELETE FROM versions",
        };
        let sql = format!("{change} WHERE context = ?1 AND subject = ?2 AND version = ?3");
        self.connection.execute(&sql, key)?;
        if deletion == Deletion::Permanent {
            let id = params![version.schema.context, version.schema.id];
            let is_unused =
                "NOT EXISTS (SELECT 1 FROM versions v WHERE v.context = ?1 AND v.schema_id = ?2)";
            for (table, column) in [("schema_references", "schema_id"), ("schemas", "id")] {
                let sql = format!(
                    "DELETE FROM {table} WHERE context = ?1 AND {column} = ?2 AND {is_unused}"
                );
                self.connection.execute(&sql, id)?;
            }
        }
        Ok(())
    }

    /// Ids of the schemas that refer to a version and are themselves versions.
    pub(super) fn referrers(
        self,
        subject: &Subject,
        number: i64,
        deleted: Deleted,
    ) -> Result<Vec<i64>, Refusal> {
        let sql = format!(
            "SELECT DISTINCT r.schema_id FROM schema_references r JOIN versions v ON v.context = r.context AND v.schema_id = r.schema_id
             WHERE r.to_context = ?1 AND r.to_subject = ?2 AND r.to_version = ?3 AND {} ORDER BY 1",
            deleted.condition()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![subject.context, subject.name, number], |row| {
            row.get(0)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
