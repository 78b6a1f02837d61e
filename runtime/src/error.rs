//! The error of the runtime: what went wrong, where, and what the reader should do about it.
//!
//! Place in the flow: every fallible function of the crate returns [`Result`]. Invariant: a message never contains a
//! secret, and user data never panics: it becomes an [`Error`] or a dead letter.

use serde::{Deserialize, Serialize};

/// What the reader of an error should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Fix the statement or the configuration.
    Invalid,
    /// Valid Flink SQL that this version does not run yet.
    Unsupported,
    /// Retry with back-off.
    Unavailable,
    /// A record that cannot be processed: dead letter or failure, per policy.
    Data,
    /// Fenced: stop and reread.
    Conflict,
    /// Stored bytes are damaged: restore an older checkpoint.
    Corrupt,
    /// A bug of Weir.
    Internal,
}

/// A place in the SQL text.
///
/// # Units
/// Lines and columns count from 1, in characters; `0` means unknown. `end_*` is inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Last column.
    pub end_column: u32,
}

impl Span {
    /// A span of a single character position.
    pub fn at(line: u32, column: u32) -> Self {
        Self {
            line,
            column,
            end_line: line,
            end_column: column,
        }
    }

    /// Whether the place is known.
    pub fn is_known(self) -> bool {
        self.line > 0
    }

    /// The smallest span that covers both; an unknown one does not count.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if !self.is_known() {
            return other;
        }
        if !other.is_known() {
            return self;
        }
        let first = if (self.line, self.column) <= (other.line, other.column) {
            self
        } else {
            other
        };
        let last = if (self.end_line, self.end_column) >= (other.end_line, other.end_column) {
            self
        } else {
            other
        };
        Self {
            line: first.line,
            column: first.column,
            end_line: last.end_line,
            end_column: last.end_column,
        }
    }
}

/// An error of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}{message}", place(*span))]
pub struct Error {
    /// What the reader should do.
    pub kind: Kind,
    /// Stable code with a page in `docs/errors/`, such as `WEIR-1001`.
    pub code: Code,
    /// Lower case, without a full stop.
    pub message: String,
    /// Where in the SQL text, when the error comes from there.
    pub span: Span,
}

/// The prefix that names a place in the SQL text.
fn place(span: Span) -> String {
    if span.is_known() {
        format!("line {}, column {}: ", span.line, span.column)
    } else {
        String::new()
    }
}

/// Codes of user-visible errors; each has a page in `docs/errors/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// The SQL text does not parse.
    Syntax,
    /// A table, column, function, option or type that does not exist.
    UnknownName,
    /// Argument types that a function, operator or cast does not take.
    TypeMismatch,
    /// A statement that parses but breaks a rule of Flink SQL.
    Validation,
    /// A shape this version does not run yet.
    Unsupported,
    /// An option with a value that is not allowed.
    InvalidOption,
    /// An object that already exists.
    AlreadyExists,
    /// A broker, registry or store that does not answer.
    Unavailable,
    /// A record that does not match its format or schema.
    Deserialization,
    /// A value that overflows, cannot be cast or divides by zero.
    Arithmetic,
    /// A file or device that refuses: permission, space, damage.
    Storage,
    /// Bytes that do not match their checksum.
    Corrupt,
    /// The checkpoint that belongs to what was committed cannot be restored.
    CommittedCheckpoint,
    /// Another run of the statement has taken over.
    Fenced,
    /// A bug of Weir.
    Internal,
}

impl Code {
    /// Every code, for documentation and for the test that each has a page.
    pub const ALL: [Self; 15] = [
        Self::Syntax,
        Self::UnknownName,
        Self::TypeMismatch,
        Self::Validation,
        Self::Unsupported,
        Self::InvalidOption,
        Self::AlreadyExists,
        Self::Unavailable,
        Self::Deserialization,
        Self::Arithmetic,
        Self::Storage,
        Self::Corrupt,
        Self::CommittedCheckpoint,
        Self::Fenced,
        Self::Internal,
    ];

    /// The number users see: 1xxx the statement, 2xxx the environment, 3xxx the data, 9xxx Weir itself.
    pub fn number(self) -> u16 {
        match self {
            Self::Syntax => 1001,
            Self::UnknownName => 1002,
            Self::TypeMismatch => 1003,
            Self::Validation => 1004,
            Self::Unsupported => 1005,
            Self::InvalidOption => 1006,
            Self::AlreadyExists => 1007,
            Self::Unavailable => 2001,
            Self::Storage => 2002,
            Self::Corrupt => 2003,
            Self::CommittedCheckpoint => 2005,
            Self::Fenced => 2004,
            Self::Deserialization => 3001,
            Self::Arithmetic => 3002,
            Self::Internal => 9001,
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WEIR-{}", self.number())
    }
}

/// The result of a fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Builds a constructor for a code: one line each, so that the kind of a code is decided in one place.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident, $code:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self { kind: Kind::$kind, code: Code::$code, message: message.into(), span: Span::default() }
            })*
        }
    };
}

constructors! {
    /// The SQL text does not parse.
    syntax => Invalid, Syntax;
    /// A name that does not exist; use [`unknown_name`] to add the nearest valid one.
    unknown => Invalid, UnknownName;
    /// Types that do not fit.
    type_mismatch => Invalid, TypeMismatch;
    /// A broken rule of Flink SQL.
    validation => Invalid, Validation;
    /// An option value that is not allowed.
    option => Invalid, InvalidOption;
    /// An object that already exists.
    exists => Invalid, AlreadyExists;
    /// A shape this version does not run yet.
    unsupported => Unsupported, Unsupported;
    /// Something that does not answer now.
    unavailable => Unavailable, Unavailable;
    /// A record that does not match its format.
    deserialization => Data, Deserialization;
    /// A value that overflows, cannot be cast or divides by zero.
    arithmetic => Data, Arithmetic;
    /// A file or device that refuses.
    storage => Unavailable, Storage;
    /// Bytes that do not match their checksum.
    corrupt => Corrupt, Corrupt;
    /// The checkpoint of the newest committed epoch cannot be restored.
    committed_checkpoint => Corrupt, CommittedCheckpoint;
    /// Another run of the statement has taken over.
    fenced => Conflict, Fenced;
    /// A bug of Weir.
    internal => Internal, Internal;
}

impl Error {
    /// Adds the place in the SQL text, unless one is known already.
    #[must_use]
    pub fn with_span(mut self, span: Span) -> Self {
        if !self.span.is_known() {
            self.span = span;
        }
        self
    }

    /// Puts what was being done before the message: `operator 3 of statement x: message`.
    #[must_use]
    pub fn context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError;
        match error {
            ArrowError::DivideByZero => Self::arithmetic("division by zero"),
            ArrowError::ArithmeticOverflow(message) => Self::arithmetic(message.to_lowercase()),
            ArrowError::CastError(message) => Self::arithmetic(message),
            other => Self::internal(format!("kernel: {other}")),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::storage(error.to_string())
    }
}

/// An unknown name with the nearest valid one: `unknown column "pric", did you mean "price"?`.
pub fn unknown_name<'a>(what: &str, name: &str, valid: impl IntoIterator<Item = &'a str>) -> Error {
    let nearest = valid
        .into_iter()
        .map(|candidate| {
            (
                edit_distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(2))
        .min();
    match nearest {
        Some((_, candidate)) => Error::unknown(format!(
            "unknown {what} \"{name}\", did you mean \"{candidate}\"?"
        )),
        None => Error::unknown(format!("unknown {what} \"{name}\"")),
    }
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_offered_only_when_it_is_near() {
        let near = unknown_name("column", "pric", ["price", "quantity"]);
        assert_eq!(
            near.message,
            "unknown column \"pric\", did you mean \"price\"?"
        );
        let far = unknown_name("column", "zzz", ["price", "quantity"]);
        assert_eq!(far.message, "unknown column \"zzz\"");
    }

    #[test]
    fn place_is_printed_before_the_message() {
        let error = Error::syntax("expected FROM").with_span(Span::at(2, 7));
        assert_eq!(error.to_string(), "line 2, column 7: expected FROM");
    }
}
