//! Whether a reader of one schema can read what was written by another.
//!
//! Enters: two parsed schemas of one language. Leaves: what stands in the way, each with its kind, place and reason. Pure, and bounded in
//! steps and depth, as schemas come from anywhere.
//!
//! # Source
//! Confluent, "Schema Evolution and Compatibility"; kinds carry the names of Confluent's registry.

pub(crate) mod avro;
pub(crate) mod json_schema;
pub(crate) mod protobuf;

use std::fmt;

/// Comparisons that a check may take: above any schema seen, below a second of work. Guess, unmeasured.
const STEPS_MAX: u32 = 1_000_000;

/// Depth of nested comparisons, so that the stack of a thread suffices: JSON texts nest 128 deep at most. Guess, unmeasured.
const DEPTH_MAX: u32 = 128;

/// Incompatibilities that are told; more help nobody. Guess, unmeasured.
const TOLD_MAX: usize = 100;

/// Which schemas of a subject a new one must fit, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Any schema is taken.
    None,
    /// The new schema reads what the latest wrote.
    Backward,
    /// As `Backward`, with every version.
    BackwardTransitive,
    /// The latest schema reads what the new one writes.
    Forward,
    /// As `Forward`, with every version.
    ForwardTransitive,
    /// Both.
    Full,
    /// Both, with every version.
    FullTransitive,
}

impl Level {
    /// Every level.
    const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// The registry's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// The level of a name in any case.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether every version counts, not only the latest.
    pub(crate) fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }

    /// Whether the new schema must read what old ones wrote.
    pub(crate) fn is_backward(self) -> bool {
        matches!(
            self,
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// Whether old schemas must read what the new one writes.
    pub(crate) fn is_forward(self) -> bool {
        matches!(
            self,
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive
        )
    }
}

/// Something in a reader's schema that does not fit the writer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incompatibility {
    /// The registry's name for it.
    pub(crate) kind: &'static str,
    /// Where, in the reader's schema unless it is what the reader lacks.
    pub(crate) path: String,
    /// What is wrong, in words.
    pub(crate) message: String,
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{errorType:'{}', description:'{} (path {})'}}",
            self.kind, self.message, self.path
        )
    }
}

/// The schemas are too large or too deep to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schemas take more than {STEPS_MAX} steps or {DEPTH_MAX} levels to compare; split them, or register at compatibility level NONE"
)]
pub(crate) struct TooComplex;

/// What is left of the steps and levels of a check.
#[derive(Debug)]
struct Budget {
    /// Comparisons left.
    steps: u32,
    /// Levels entered.
    depth: u32,
}

impl Budget {
    /// A whole budget.
    fn new() -> Self {
        Self {
            steps: STEPS_MAX,
            depth: 0,
        }
    }

    /// Takes a step into a level.
    fn enter(&mut self) -> Result<(), TooComplex> {
        self.steps = self.steps.checked_sub(1).ok_or(TooComplex)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(TooComplex);
        }
        Ok(())
    }

    /// Leaves a level.
    fn leave(&mut self) {
        self.depth -= 1;
    }
}

/// Adds what was found, unless enough is told already.
fn tell(found: &mut Vec<Incompatibility>, kind: &'static str, path: &str, message: String) {
    if found.len() < TOLD_MAX {
        found.push(Incompatibility {
            kind,
            path: path.to_owned(),
            message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_name_in_any_case() {
        for level in Level::ALL {
            assert_eq!(Level::parse(&level.as_str().to_lowercase()), Some(level));
        }
        assert_eq!(Level::parse("BACKWARDS"), None);
        assert!(Level::Full.is_backward() && Level::Full.is_forward());
        assert!(!Level::None.is_backward() && !Level::None.is_forward());
        assert!(Level::ForwardTransitive.is_transitive() && !Level::Forward.is_transitive());
    }
}
