//! Options of the formats of changes in JSON.
//!
//! Place in the flow: a table's WITH options become these before a decoder or encoder is made. Invariant: an option that is accepted
//! is honoured, or has no effect on records.

use std::collections::BTreeMap;

use crate::error::{Error, Result, unknown_name};
use crate::format::changelog::Dialect;
use crate::format::json::{Faults, JsonOptions};
use crate::sql::functions::pattern::JavaRegex;

/// Options of all formats of changes in JSON.
///
/// # Source
/// Flink 2.3, documentation of the Debezium, Canal, Maxwell and Ogg formats.
const COMMON: [&str; 6] = [
    "ignore-parse-errors",
    "timestamp-format.standard",
    "map-null-key.mode",
    "map-null-key.literal",
    "encode.decimal-as-plain-number",
    "encode.ignore-null-fields",
];

/// How envelopes in JSON are read and written.
#[derive(Debug)]
pub struct ChangeOptions {
    /// How JSON is read and written.
    pub(super) json: JsonOptions,
    /// Where the envelope is.
    pub(super) place: Place,
    /// Databases of Canal that are read; absent means all.
    pub(super) databases: Option<JavaRegex>,
    /// Tables of Canal that are read; absent means all.
    pub(super) tables: Option<JavaRegex>,
}

/// Where the envelope is in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the record.
    Root,
    /// Under `payload`, beside its `schema`: `debezium-json.schema-include`.
    Payload,
}

impl ChangeOptions {
    /// Those of `json-debezium-registry`.
    pub fn registry() -> Self {
        Self {
            json: JsonOptions::registry(),
            place: Place::Root,
            databases: None,
            tables: None,
        }
    }

    /// Reads the options of a table that begin with the name of its format.
    ///
    /// # Errors
    /// `Invalid` for an option or value that does not exist.
    pub fn parse(options: &BTreeMap<String, String>, format: &str) -> Result<Self> {
        let dialect = Dialect::of(format);
        let own: &[&str] = match dialect {
            Some(Dialect::Debezium) => &["schema-include"],
            Some(Dialect::Canal) => &["database.include", "table.include"],
            Some(Dialect::Maxwell | Dialect::Ogg) | None => &[],
        };
        let known = || COMMON.iter().chain(own);
        for key in options.keys() {
            let name = key
                .strip_prefix(format)
                .and_then(|rest| rest.strip_prefix('.'));
            if let Some(name) = name
                && !known().any(|known| *known == name)
            {
                let names: Vec<String> = known().map(|known| format!("{format}.{known}")).collect();
                return Err(unknown_name(
                    "option",
                    key,
                    names.iter().map(String::as_str),
                ));
            }
        }
        let flag = |name: &str| crate::format::flag(options, &format!("{format}.{name}"));
        let mut json = JsonOptions::shared(options, format)?;
        if flag("ignore-parse-errors")? {
            json.faults = Faults::Null;
        }
        let place = if dialect == Some(Dialect::Debezium) && flag("schema-include")? {
            Place::Payload
        } else {
            Place::Root
        };
        let filter = |name: &str| -> Result<Option<JavaRegex>> {
            let key = format!("{format}.{name}");
            let Some(pattern) = options.get(&key) else {
                return Ok(None);
            };
            // The whole name must match, as with `Matcher.matches`.
            let regex = JavaRegex::compile(&format!(r"\A(?:{pattern})\z"));
            let regex = regex.ok_or_else(|| {
                Error::option(format!(
                    "option '{key}': \"{pattern}\" is not a regular expression of Java"
                ))
            })?;
            Ok(Some(regex))
        };
        Ok(Self {
            json,
            place,
            databases: filter("database.include")?,
            tables: filter("table.include")?,
        })
    }

    /// How envelopes are written.
    ///
    /// # Errors
    /// `Invalid` for envelopes with schemas, which are only read.
    ///
    /// # Source
    /// Flink 2.3, Debezium format: `schema-include` is an option of sources.
    pub fn written(self, format: &str) -> Result<JsonOptions> {
        if self.place == Place::Payload {
            return Err(Error::option(format!(
                "option '{format}.schema-include': a table with it is only read; records are written without their schema"
            )));
        }
        Ok(self.json)
    }
}
