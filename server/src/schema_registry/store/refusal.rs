//! Why a request is refused.
//!
//! Place in the flow: every call of the store returns one; `http` answers it. Invariant: codes and messages are those of Confluent's
//! registry, as clients tell errors apart by them.
//!
//! # Source
//! Confluent, "Schema Registry API Reference": error codes.

/// Why a request is refused, with the registry's error codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// 40401.
    #[error("Subject '{0}' not found.")]
    Subject(String),
    /// 40402.
    #[error("Version {0} not found.")]
    Version(String),
    /// 40403.
    #[error("Schema not found")]
    Schema,
    /// 40404.
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectSoftDeleted(String),
    /// 40405.
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(String),
    /// 40406.
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionSoftDeleted(String, i64),
    /// 40407.
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotSoftDeleted(String, i64),
    /// 40408.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoSubjectLevel(String),
    /// 40409.
    #[error("Subject '{0}' does not have subject-level mode configured")]
    NoSubjectMode(String),
    /// 409.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{details}]"
    )]
    Incompatible {
        /// Subject.
        subject: String,
        /// What stands in the way.
        details: String,
    },
    /// 42201.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// 42202.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// 42203.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"
    )]
    Level,
    /// 42204.
    #[error("Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT")]
    Mode,
    /// 42205.
    #[error("{0}")]
    NotPermitted(String),
    /// 42206.
    #[error(
        "One or more references exist to the schema {{subject={0},version={1}}}: delete those schemas first, see /subjects/{0}/versions/{1}/referencedby"
    )]
    Referenced(String, i64),
    /// 42207.
    #[error("Overwrite new schema with id {0} is not permitted.")]
    IdTaken(i64),
    /// 42208.
    #[error("The specified subject '{0}' is not a valid subject: {1}")]
    InvalidSubject(String, &'static str),
    /// 42209.
    #[error("The schema is too large: {0}")]
    TooLarge(String),
    /// 42210.
    #[error(
        "Rule sets are not supported by this registry: what they promise, such as encryption, would not be checked; leave ruleSet out"
    )]
    RuleSet,
    /// 50001.
    #[error("Error in the backend data store: {0}")]
    Store(String),
}

impl Refusal {
    /// The code in the answer.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Subject(_) => 40401,
            Self::Version(_) => 40402,
            Self::Schema => 40403,
            Self::SubjectSoftDeleted(_) => 40404,
            Self::SubjectNotSoftDeleted(_) => 40405,
            Self::VersionSoftDeleted(..) => 40406,
            Self::VersionNotSoftDeleted(..) => 40407,
            Self::NoSubjectLevel(_) => 40408,
            Self::NoSubjectMode(_) => 40409,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::Level => 42203,
            Self::Mode => 42204,
            Self::NotPermitted(_) => 42205,
            Self::Referenced(..) => 42206,
            Self::IdTaken(_) => 42207,
            Self::InvalidSubject(..) => 42208,
            Self::TooLarge(_) => 42209,
            Self::RuleSet => 42210,
            Self::Store(_) => 50001,
        }
    }

    /// The HTTP status of the answer.
    pub(crate) fn status(&self) -> u16 {
        let code = self.code();
        let status = if code < 1000 { code } else { code / 100 };
        u16::try_from(status).unwrap_or(500)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}
