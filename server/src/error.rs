//! The error of the server: what went wrong and which HTTP status says so.
//!
//! Place in the flow: every service returns [`Result`]; `http` turns it into Confluent's error JSON, the binary into a line on
//! standard error. Invariant: a message never contains a secret.

use weir_runtime::error::{Code, Kind};

/// An error of the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement, a table or the outside world.
    #[error(transparent)]
    Runtime(#[from] weir_runtime::Error),
    /// A resource that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A resource that exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The resource has changed, or is in a phase that does not allow this.
    #[error("{0}")]
    Conflict(String),
    /// A request that cannot be carried out as it is.
    #[error("{0}")]
    Invalid(String),
    /// The database or a directory refuses.
    #[error("{0}")]
    Storage(String),
    /// The server cannot start as configured.
    #[error("{0}")]
    Start(String),
    /// A bug of Weir.
    #[error("{0}")]
    Internal(String),
}

/// The result of a fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the reader should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Runtime(error) => error.kind,
            Self::NotFound(_) | Self::AlreadyExists(_) | Self::Invalid(_) | Self::Start(_) => {
                Kind::Invalid
            }
            Self::Conflict(_) => Kind::Conflict,
            Self::Storage(_) => Kind::Unavailable,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// The HTTP status and Confluent's machine-readable code.
    ///
    /// # Source
    /// Codes of Confluent's `sql/v1` description; `invalid_request`, `unavailable` and `internal_error` are Weir's own.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound(_) => (404, "resource_not_found"),
            Self::AlreadyExists(_) => (409, "resource_already_exists"),
            Self::Conflict(_) => (409, "conflict"),
            Self::Invalid(_) | Self::Start(_) => (400, "invalid_request"),
            Self::Storage(_) => (503, "unavailable"),
            Self::Internal(_) => (500, "internal_error"),
            Self::Runtime(error) if error.code == Code::AlreadyExists => {
                (409, "resource_already_exists")
            }
            Self::Runtime(error) => match error.kind {
                Kind::Invalid | Kind::Unsupported | Kind::Data => (400, "invalid_request"),
                Kind::Conflict => (409, "conflict"),
                Kind::Unavailable => (503, "unavailable"),
                Kind::Corrupt | Kind::Internal => (500, "internal_error"),
            },
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(format!("the server's database refuses: {error}"))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("a stored document has another form: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_who_must_act() {
        assert_eq!(Error::NotFound("x".into()).status().0, 404);
        let exists = Error::from(weir_runtime::Error::exists("x"));
        assert_eq!(exists.status(), (409, "resource_already_exists"));
        let broker = Error::from(weir_runtime::Error::unavailable("broker a:1"));
        assert_eq!(broker.status().0, 503);
        assert_eq!(broker.kind(), Kind::Unavailable);
    }

    #[test]
    fn an_error_of_the_runtime_is_said_once_in_a_chain() {
        let error = Error::from(weir_runtime::Error::unavailable("broker a:1"));
        assert!(std::error::Error::source(&error).is_none());
        assert!(error.to_string().contains("broker a:1"));
    }
}
