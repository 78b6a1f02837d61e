//! The properties a statement runs with.
//!
//! Place in the flow: SET and the statement's `properties` fill it; binder, evaluator and job read it. Invariant: only
//! documented keys are accepted, so that a misspelt one is an error and not a silent default.

use std::collections::BTreeMap;

/// Properties of a statement: what `SET` changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Session {
    /// Values that differ from the default, by key.
    pub properties: BTreeMap<String, String>,
}

impl Session {
    /// A property, if set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// The catalog that unqualified names are looked up in.
    pub fn current_catalog(&self) -> &str {
        self.get("sql.current-catalog").unwrap_or("default")
    }

    /// The database that unqualified names are looked up in.
    pub fn current_database(&self) -> &str {
        self.get("sql.current-database").unwrap_or("cluster_0")
    }

    /// The session time zone: a TZDB name or an offset such as `GMT+03:00`.
    pub fn local_time_zone(&self) -> &str {
        self.get("sql.local-time-zone")
            .or_else(|| self.get("table.local-time-zone"))
            .unwrap_or("UTC")
    }
}
