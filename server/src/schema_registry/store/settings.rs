//! Compatibility levels, whether schemas are normalized, and modes.
//!
//! Place in the flow: `/config` and `/mode`, and every registration. Invariant: what a subject does not say, its context says, then the
//! registry, then the default.

use rusqlite::{OptionalExtension as _, params};

use super::tables::Tables;
use super::{Refusal, SchemaStore, Subject};
use crate::schema_registry::compatibility::Level;

/// The level where none was set (Schema Registry's default).
const LEVEL_DEFAULT: Level = Level::Backward;

/// What a subject, context or the registry says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Which schemas are compatible.
    pub(crate) level: Option<Level>,
    /// Whether schemas are normalized when they are registered.
    pub(crate) normalize: Option<bool>,
}

/// What may be done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Anything but choosing ids.
    ReadWrite,
    /// Nothing is changed.
    ReadOnly,
    /// As `ReadOnly`, whatever subjects say.
    ReadOnlyOverride,
    /// Schemas are registered with the ids and versions that they have elsewhere, without being compared.
    Import,
}

impl Mode {
    /// Every one.
    const ALL: [Self; 4] = [
        Self::ReadWrite,
        Self::ReadOnly,
        Self::ReadOnlyOverride,
        Self::Import,
    ];

    /// The registry's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }

    /// The mode of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether nothing is changed.
    fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadOnlyOverride)
    }
}

/// Whether a mode is set where schemas are already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// It is.
    Yes,
    /// Not mode IMPORT.
    No,
}

impl SchemaStore {
    /// What a subject, a context or the registry says itself.
    pub(crate) fn own_config(&self, subject: &Subject) -> Result<Option<Config>, Refusal> {
        self.read(|tables| tables.config(subject))
    }

    /// What counts for a subject.
    pub(crate) fn config(&self, subject: &Subject) -> Result<Config, Refusal> {
        self.read(|tables| tables.effective_config(subject))
    }

    /// The compatibility level that counts for a subject.
    #[cfg(test)]
    pub(crate) fn level(&self, subject: &Subject) -> Result<Level, Refusal> {
        self.read(|tables| tables.level(subject))
    }

    /// Sets what is given, and keeps the rest.
    ///
    /// # Errors
    /// `NotPermitted` in a mode without changes.
    pub(crate) fn set_config(&self, subject: &Subject, config: Config) -> Result<(), Refusal> {
        self.write(|tables| {
            tables.allow_write(subject)?;
            tables.connection.execute(
                "INSERT INTO configs VALUES (?1, ?2, ?3, ?4) ON CONFLICT (context, subject)
                 DO UPDATE SET level = COALESCE(?3, level), normalize = COALESCE(?4, normalize)",
                params![
                    subject.context,
                    subject.name,
                    config.level.map(Level::as_str),
                    config.normalize
                ],
            )?;
            Ok(())
        })
    }

    /// Forgets what a subject, a context or the registry says; what it said.
    ///
    /// # Errors
    /// `NoSubjectLevel` for a subject that says nothing.
    pub(crate) fn delete_config(&self, subject: &Subject) -> Result<Config, Refusal> {
        self.write(|tables| {
            tables.allow_write(subject)?;
            let before = match tables.config(subject)? {
                Some(config) => config,
                None if *subject == Subject::global() => tables.effective_config(subject)?,
                None => return Err(Refusal::NoSubjectLevel(subject.qualified())),
            };
            tables.connection.execute(
                "DELETE FROM configs WHERE context = ?1 AND subject = ?2",
                params![subject.context, subject.name],
            )?;
            Ok(before)
        })
    }

    /// The mode that a subject, a context or the registry was given.
    pub(crate) fn own_mode(&self, subject: &Subject) -> Result<Option<Mode>, Refusal> {
        self.read(|tables| tables.own_mode(subject))
    }

    /// The mode that counts for a subject.
    pub(crate) fn mode(&self, subject: &Subject) -> Result<Mode, Refusal> {
        self.read(|tables| tables.mode(subject))
    }

    /// Sets a mode.
    ///
    /// # Errors
    /// `NotPermitted` for IMPORT where there are schemas, as their ids may be those that come.
    pub(crate) fn set_mode(
        &self,
        subject: &Subject,
        mode: Mode,
        force: Force,
    ) -> Result<(), Refusal> {
        self.write(|tables| {
            let is_new = mode == Mode::Import && tables.mode(subject)? != Mode::Import;
            if is_new && force == Force::No && tables.has_versions(subject)? {
                return Err(Refusal::NotPermitted(
                    "Cannot import since found existing subjects; set force=true to import all the same".to_owned(),
                ));
            }
            tables.connection.execute(
                "INSERT INTO modes VALUES (?1, ?2, ?3) ON CONFLICT (context, subject) DO UPDATE SET mode = ?3",
                params![subject.context, subject.name, mode.as_str()],
            )?;
            Ok(())
        })
    }

    /// Forgets a mode; which it was.
    ///
    /// # Errors
    /// `NoSubjectMode` for a subject that has none of its own.
    pub(crate) fn delete_mode(&self, subject: &Subject) -> Result<Mode, Refusal> {
        self.write(|tables| {
            let before = match tables.own_mode(subject)? {
                Some(mode) => mode,
                None if *subject == Subject::global() => Mode::ReadWrite,
                None => return Err(Refusal::NoSubjectMode(subject.qualified())),
            };
            tables.connection.execute(
                "DELETE FROM modes WHERE context = ?1 AND subject = ?2",
                params![subject.context, subject.name],
            )?;
            Ok(before)
        })
    }
}

/// A subject, its context and the registry, in the order in which they are asked.
fn scopes(subject: &Subject) -> [Subject; 3] {
    let context = Subject {
        context: subject.context.clone(),
        name: String::new(),
    };
    [subject.clone(), context, Subject::global()]
}

impl Tables<'_> {
    /// What a subject, a context or the registry says itself.
    fn config(self, subject: &Subject) -> Result<Option<Config>, Refusal> {
        let mut statement = self.connection.prepare_cached(
            "SELECT level, normalize FROM configs WHERE context = ?1 AND subject = ?2",
        )?;
        let found = statement
            .query_row(params![subject.context, subject.name], |row| {
                let level: Option<String> = row.get(0)?;
                Ok(Config {
                    level: level.as_deref().and_then(Level::parse),
                    normalize: row.get(1)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// What counts for a subject.
    pub(super) fn effective_config(self, subject: &Subject) -> Result<Config, Refusal> {
        let mut config = Config::default();
        for scope in scopes(subject) {
            let own = self.config(&scope)?.unwrap_or_default();
            config.level = config.level.or(own.level);
            config.normalize = config.normalize.or(own.normalize);
        }
        config.level = config.level.or(Some(LEVEL_DEFAULT));
        Ok(config)
    }

    /// The compatibility level that counts for a subject.
    pub(super) fn level(self, subject: &Subject) -> Result<Level, Refusal> {
        let config = self.effective_config(subject)?;
        Ok(config.level.unwrap_or(LEVEL_DEFAULT))
    }

    /// The mode that a subject, a context or the registry was given.
    fn own_mode(self, subject: &Subject) -> Result<Option<Mode>, Refusal> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT mode FROM modes WHERE context = ?1 AND subject = ?2")?;
        let name: Option<String> = statement
            .query_row(params![subject.context, subject.name], |row| row.get(0))
            .optional()?;
        Ok(name.as_deref().and_then(Mode::parse))
    }

    /// The mode that counts for a subject.
    pub(super) fn mode(self, subject: &Subject) -> Result<Mode, Refusal> {
        let mut modes = Vec::new();
        for scope in scopes(subject) {
            modes.extend(self.own_mode(&scope)?);
        }
        let first = modes.first().copied().unwrap_or(Mode::ReadWrite);
        let is_overridden = modes.contains(&Mode::ReadOnlyOverride);
        Ok(if is_overridden {
            Mode::ReadOnlyOverride
        } else {
            first
        })
    }

    /// Refuses changes of schemas in a mode without.
    pub(super) fn allow_write(self, subject: &Subject) -> Result<(), Refusal> {
        if self.mode(subject)?.is_read_only() {
            return Err(Refusal::NotPermitted(format!(
                "Subject {} in context {} is in read-only mode",
                subject.name, subject.context
            )));
        }
        Ok(())
    }

    /// Whether a subject, a context or the registry has versions, deleted ones included.
    fn has_versions(self, subject: &Subject) -> Result<bool, Refusal> {
        let is_global = *subject == Subject::global();
        let sql = "SELECT EXISTS (SELECT 1 FROM versions WHERE ?1 OR (context = ?2 AND (?3 = '' OR subject = ?3)))";
        let parameters = params![is_global, subject.context, subject.name];
        Ok(self
            .connection
            .query_row(sql, parameters, |row| row.get(0))?)
    }

    /// Forgets what a subject says about itself.
    pub(super) fn forget_settings(self, subject: &Subject) -> Result<(), Refusal> {
        for table in ["configs", "modes"] {
            let sql = format!("DELETE FROM {table} WHERE context = ?1 AND subject = ?2");
            self.connection
                .execute(&sql, params![subject.context, subject.name])?;
        }
        Ok(())
    }
}
