//! What the store takes and gives.
//!
//! Place in the flow: between `http` and the tables. Invariant: a schema's references name a subject with its context and a version that
//! exists; its text is the one that identifies it unless an older server stored it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use weir_runtime::format::registry::SchemaType;

use super::{Refusal, Subject};
use crate::schema_registry::language::Parsed;

/// Largest number of a version or id.
pub(crate) const NUMBER_MAX: i64 = i32::MAX as i64;

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Reference {
    /// What the schema calls it.
    pub(crate) name: String,
    /// Its subject.
    pub(crate) subject: String,
    /// Its version; -1 for the latest, in requests only.
    pub(crate) version: i64,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Context.
    pub(crate) context: String,
    /// Id within the context, from 1.
    pub(crate) id: i64,
    /// What tells its content apart from others.
    pub(crate) guid: String,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) language: String,
    /// Text.
    pub(crate) text: String,
    /// What it refers to.
    pub(crate) references: Vec<Reference>,
    /// Metadata as JSON, empty for none.
    pub(crate) metadata: String,
}

/// A schema as a version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Subject.
    pub(crate) subject: Subject,
    /// From 1.
    pub(crate) number: i64,
    /// Whether it was deleted, though not permanently.
    pub(crate) is_deleted: bool,
    /// The schema.
    pub(crate) schema: Schema,
}

/// A schema to register, look up or compare.
#[derive(Debug, Clone)]
pub(crate) struct NewSchema {
    /// Language.
    pub(crate) language: SchemaType,
    /// Text.
    pub(crate) text: String,
    /// What it refers to.
    pub(crate) references: Vec<Reference>,
    /// Metadata as JSON, empty for none.
    pub(crate) metadata: String,
    /// Whether it is normalized first.
    pub(crate) normalize: Normalize,
    /// The id that it must have, in mode IMPORT.
    pub(crate) id: Option<i64>,
    /// The version that it must have.
    pub(crate) version: Option<i64>,
}

/// Whether a schema is normalized before it is looked up or registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// It is.
    Yes,
    /// As the subject's configuration says; not by default.
    AsConfigured,
}

/// Which versions count: deleted ones stay until they are deleted permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Those that were not deleted.
    Excluded,
    /// All.
    Included,
    /// Those that were deleted.
    Only,
}

impl Deleted {
    /// The condition on a version's row.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Excluded => "v.deleted = 0",
            Self::Included => "1",
            Self::Only => "v.deleted = 1",
        }
    }
}

/// How something is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It stays readable by those who ask for deleted ones.
    Soft,
    /// It goes, if it was deleted softly before.
    Permanent,
}

/// The version that a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionId {
    /// The highest.
    Latest,
    /// This one.
    Number(i64),
}

impl VersionId {
    /// The version of a path.
    ///
    /// # Errors
    /// `InvalidVersion`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if matches!(text, "latest" | "-1") {
            return Ok(Self::Latest);
        }
        text.parse()
            .ok()
            .filter(|number| (1..=NUMBER_MAX).contains(number))
            .map(Self::Number)
            .ok_or_else(|| Refusal::InvalidVersion(text.to_owned()))
    }
}

/// What is asked of a list.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// The context; none for all.
    pub(crate) context: Option<String>,
    /// How subjects begin.
    pub(crate) prefix: String,
    /// Whether deleted ones count.
    pub(crate) deleted: Deleted,
    /// Entries that are left out at the start.
    pub(crate) offset: i64,
    /// Entries at most.
    pub(crate) limit: i64,
}

/// What tells contents apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// As they are, as a UUID.
    pub(super) guid: String,
    /// Once normalized.
    pub(super) normal: String,
}

impl Identity {
    /// That of a parsed schema.
    pub(super) fn of(
        language: &str,
        parsed: &Parsed,
        references: &[Reference],
        metadata: &str,
    ) -> Self {
        let mut sorted = references.to_vec();
        sorted.sort();
        Self {
            guid: guid(&[language, &parsed.identity(), &json(references), metadata]),
            normal: guid(&[
                language,
                &parsed.normal_identity(),
                &json(&sorted),
                metadata,
            ]),
        }
    }

    /// That of a text that cannot be parsed, as older servers took such.
    pub(super) fn of_text(language: &str, text: &str, references: &str) -> Self {
        let guid = guid(&[language, text, references, ""]);
        Self {
            normal: guid.clone(),
            guid,
        }
    }
}

/// References as JSON.
pub(super) fn json(references: &[Reference]) -> String {
    // Texts and numbers always have a JSON form.
    serde_json::to_string(references).unwrap_or_default()
}

/// A UUID of contents; that of RFC 9562, version 8, from SHA-256.
fn guid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// The form in which a GUID is kept.
pub(super) fn parse_guid(text: &str) -> Option<String> {
    Uuid::parse_str(text).ok().map(|guid| guid.to_string())
}
