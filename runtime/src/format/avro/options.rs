//! Options of the Avro formats.
//!
//! Place in the flow: a table's WITH options become these before a decoder or encoder is made. Invariant: an option that is accepted
//! is honoured, or has no effect on records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result, unknown_name};
use crate::format::avro::Mapping;
use crate::format::registry::{HttpRegistry, SchemaRegistry};

/// Options of `avro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroOptions {
    /// How types map.
    pub mapping: Mapping,
}

impl AvroOptions {
    /// Reads the `avro.*` options of a table.
    ///
    /// # Errors
    /// `Invalid` for an option or value that does not exist; `Unsupported` for the JSON encoding and for container files.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        /// Every option of the format.
        ///
        /// # Source
        /// Flink 2.3, "Avro Format".
        const KNOWN: [&str; 3] = [
            "avro.encoding",
            "avro.codec",
            "avro.timestamp_mapping.legacy",
        ];
        for key in options.keys().filter(|key| key.starts_with("avro.")) {
            if !KNOWN.contains(&key.as_str()) {
                return Err(unknown_name("option", key, KNOWN));
            }
        }
        match options.get("avro.encoding").map(String::as_str) {
            None | Some("binary") => {}
            Some("json") => {
                return Err(Error::unsupported(
                    "option 'avro.encoding' with the value \"json\"; leave it out",
                ));
            }
            Some(other) => {
                return Err(Error::option(format!(
                    "option 'avro.encoding': \"{other}\" is not one of binary, json"
                )));
            }
        }
        if options.contains_key("avro.codec") {
            return Err(Error::unsupported(
                "option 'avro.codec': it is for container files, and records stand alone",
            ));
        }
        let key = "avro.timestamp_mapping.legacy";
        let is_legacy = !options.contains_key(key) || crate::format::flag(options, key)?;
        Ok(Self {
            mapping: if is_legacy {
                Mapping::FlinkLegacy
            } else {
                Mapping::Flink
            },
        })
    }
}

/// Options of `avro-confluent`, Flink's name for framed records.
#[derive(Debug, Clone)]
pub struct ConfluentAvroOptions {
    /// The registry of the table's own, instead of the server's.
    pub registry: Option<Arc<dyn SchemaRegistry>>,
    /// The subject, instead of that of the topic.
    pub subject: Option<String>,
}

impl ConfluentAvroOptions {
    /// Reads the options of a table that begin with `format`: `avro-confluent` or `debezium-avro-confluent`.
    ///
    /// # Errors
    /// `Invalid` for an option that does not exist or a bad address; `Unsupported` for options that have no counterpart.
    pub fn parse(options: &BTreeMap<String, String>, format: &str) -> Result<Self> {
        /// Options of the format that are honoured.
        ///
        /// # Source
        /// Flink 2.3, "Confluent Avro Format".
        const KNOWN: [&str; 4] = [
            "url",
            "subject",
            "basic-auth.credentials-source",
            "basic-auth.user-info",
        ];
        /// Beginnings and names of options of the format that are not.
        const REFUSED: [&str; 4] = ["schema", "ssl.", "bearer-auth.", "properties"];
        let own = options
            .keys()
            .filter_map(|key| Some((key, key.strip_prefix(format)?.strip_prefix('.')?)));
        for (key, name) in own {
            if REFUSED.iter().any(|refused| name.starts_with(refused)) {
                return Err(Error::unsupported(format!("option '{key}'; leave it out")));
            }
            if !KNOWN.contains(&name) {
                let known = KNOWN.map(|name| format!("{format}.{name}"));
                return Err(unknown_name(
                    "option",
                    key,
                    known.iter().map(String::as_str),
                ));
            }
        }
        let get = |name: &str| options.get(&format!("{format}.{name}"));
        if let Some(source) = get("basic-auth.credentials-source")
            && !["URL", "USER_INFO"].contains(&source.as_str())
        {
            return Err(Error::unsupported(format!(
                "option '{format}.basic-auth.credentials-source': there are URL and USER_INFO"
            )));
        }
        let user = get("basic-auth.user-info")
            .map(|pair| {
                pair.split_once(':')
                    .map(|(user, password)| (user.to_owned(), password.to_owned()))
                    .ok_or_else(|| {
                        Error::option(format!(
                            "option '{format}.basic-auth.user-info' must be user:password"
                        ))
                    })
            })
            .transpose()?;
        let registry = match get("url") {
            Some(url) => {
                let registry: Arc<dyn SchemaRegistry> = Arc::new(HttpRegistry::new(url, user)?);
                Some(registry)
            }
            None => None,
        };
        Ok(Self {
            registry,
            subject: get("subject").cloned(),
        })
    }
}
