//! JSON.
//!
//! Enters: objects as bytes, or rows. Leaves: columns with the failures apart, or objects. The decoder predicts the order of keys from the
//! record before and falls back to an exact reading of whatever else comes; both give the same values.

mod column;
mod decoder;
mod encoder;
mod scanner;
pub(crate) mod time;

pub use decoder::JsonDecoder;
pub use encoder::JsonEncoder;

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// How JSON is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonOptions {
    /// How times are written.
    pub times: Times,
    /// Whether a JSON value of another type than the column's is a failure; otherwise Flink's conversions apply.
    pub strict_types: bool,
    /// Whether a missing field is a failure even where NULL is allowed.
    pub fail_on_missing_field: bool,
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// `2026-01-31 23:59:59.999`.
    Sql,
    /// `2026-01-31T23:59:59.999`.
    Iso8601,
    /// Numbers: days, milliseconds of the day, milliseconds or microseconds since the epoch, as Confluent's JSON Schema has them.
    Numbers,
}

impl JsonOptions {
    /// Options of open-source `json`.
    ///
    /// # Errors
    /// `Invalid` for a value that is not allowed.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let times = match options
            .get("json.timestamp-format.standard")
            .map_or("SQL", String::as_str)
        {
            "SQL" => Times::Sql,
            "ISO-8601" => Times::Iso8601,
            other => {
                return Err(Error::option(format!(
                    "option 'json.timestamp-format.standard': \"{other}\" is not one of SQL, ISO-8601"
                )));
            }
        };
        let fail_on_missing_field = match options
            .get("json.fail-on-missing-field")
            .map(String::as_str)
        {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(Error::option(format!(
                    "option 'json.fail-on-missing-field': \"{other}\" is not one of true, false"
                )));
            }
        };
        Ok(Self {
            times,
            strict_types: false,
            fail_on_missing_field,
        })
    }

    /// Options of `json-registry`: Confluent's strict typing (December 2025) and its numbers for times.
    pub fn registry() -> Self {
        Self {
            times: Times::Numbers,
            strict_types: true,
            fail_on_missing_field: false,
        }
    }
}

#[cfg(test)]
mod tests;
