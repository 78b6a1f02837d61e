//! Subjects in their contexts.
//!
//! Place in the flow: every name of a request is taken apart here. Invariant: a context's name begins with a dot, and the default one is
//! the dot alone; a subject of another context is written with its context between colons.
//!
//! # Source
//! Confluent, "Schema Contexts": qualified subjects `:.context:subject`.

use super::Refusal;

/// The default context.
pub(crate) const DEFAULT_CONTEXT: &str = ".";

/// Longest name of a subject or context, bytes (guess: topic names have 249 letters at most).
const NAME_BYTES_MAX: usize = 1024;

/// Names that Confluent's registry keeps for itself.
const RESERVED: [&str; 2] = ["__GLOBAL", "__EMPTY"];

/// A subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Context, with its dot.
    pub(crate) context: String,
    /// Name within it; empty for the context itself.
    pub(crate) name: String,
}

impl Subject {
    /// The default context itself, which stands for the whole registry.
    pub(crate) fn global() -> Self {
        Self {
            context: DEFAULT_CONTEXT.to_owned(),
            name: String::new(),
        }
    }

    /// Takes a name apart that may be qualified; without a context it is of `context`.
    ///
    /// # Errors
    /// `InvalidSubject`.
    pub(crate) fn parse(text: &str, context: Option<&str>) -> Result<Self, Refusal> {
        let refused = |why| Err(Refusal::InvalidSubject(text.to_owned(), why));
        if text.len() > NAME_BYTES_MAX {
            return Err(Refusal::InvalidSubject(
                text.chars().take(NAME_BYTES_MAX / 4).collect(),
                "it is longer than 1024 bytes",
            ));
        }
        if text.chars().any(char::is_control) || RESERVED.contains(&text) {
            return refused("the registry keeps that name for itself");
        }
        let qualified = text.strip_prefix(':').filter(|rest| rest.starts_with('.'));
        let Some(rest) = qualified else {
            return Ok(Self {
                context: Self::context(context.unwrap_or(DEFAULT_CONTEXT)),
                name: text.to_owned(),
            });
        };
        let (context, name) = rest.split_once(':').unwrap_or((rest, ""));
        Ok(Self {
            context: Self::context(context),
            name: name.to_owned(),
        })
    }

    /// As [`Self::parse`], for schemas, which contexts do not have themselves.
    ///
    /// # Errors
    /// `InvalidSubject`.
    pub(crate) fn named(text: &str, context: Option<&str>) -> Result<Self, Refusal> {
        let subject = Self::parse(text, context)?;
        if subject.name.is_empty() {
            let why = "it needs a name";
            return Err(Refusal::InvalidSubject(text.to_owned(), why));
        }
        Ok(subject)
    }

    /// The name of a context with its dot.
    fn context(name: &str) -> String {
        if name.starts_with('.') {
            name.to_owned()
        } else {
            format!(".{name}")
        }
    }

    /// The name as clients know it.
    pub(crate) fn qualified(&self) -> String {
        if self.context == DEFAULT_CONTEXT {
            self.name.clone()
        } else {
            format!(":{}:{}", self.context, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        for (text, context, within, name, qualified) in [
            ("a-value", None, ".", "a-value", "a-value"),
            (":.c:a", None, ".c", "a", ":.c:a"),
            (":.:a", None, ".", "a", "a"),
            ("a", Some("c"), ".c", "a", ":.c:a"),
            (":.d:a", Some(".c"), ".d", "a", ":.d:a"),
            (":.c:", None, ".c", "", ":.c:"),
            (":.c", None, ".c", "", ":.c:"),
            (":a", None, ".", ":a", ":a"),
        ] {
            let subject = Subject::parse(text, context).unwrap();
            assert_eq!(
                (subject.context.as_str(), subject.name.as_str()),
                (within, name)
            );
            assert_eq!(subject.qualified(), qualified);
        }
        assert!(Subject::parse("__GLOBAL", None).is_err());
        assert!(Subject::parse(&"a".repeat(2000), None).is_err());
        assert!(Subject::named(":.c:", None).is_err());
    }
}
