//! Parsed documents and their text.
//!
//! Place in the flow: [`super::parse()`] makes them, paths select parts of them, functions print them. Invariant: keys are
//! printed in ascending order, so that equal documents have equal text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;

use super::number::Number;

/// A document or a part of one.
#[derive(Debug, Clone)]
pub(crate) enum Json<'a> {
    /// `null`.
    Null,
    /// `true` and `false`.
    Boolean(bool),
    /// A number as it is written.
    Number(Cow<'a, str>),
    /// A string without its escapes.
    String(Cow<'a, str>),
    /// `[...]`.
    Array(Vec<Json<'a>>),
    /// `{...}` in the order of the text, each key once.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// Whether this is neither an array nor an object.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// The text of a scalar, strings without quotes; of arrays and objects their JSON.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::String(text) => text.clone().into_owned(),
            _ => self.to_json(),
        }
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The JSON text with numbers as they are written.
    pub(crate) fn to_json_verbatim(&self) -> String {
        let mut out = String::new();
        self.write_with(&mut out, |text| Cow::Borrowed(text));
        out
    }

    /// Appends the JSON text.
    pub(crate) fn write(&self, out: &mut String) {
        self.write_with(out, number_text);
    }

    /// Appends the JSON text with numbers in a given form.
    fn write_with(&self, out: &mut String, number: fn(&str) -> Cow<'_, str>) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(&number(text)),
            Self::String(text) => write_string(out, text),
            Self::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    element.write_with(out, number);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<&(Cow<'_, str>, Json<'_>)> = members.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| sort_keys(a, b));
                out.push('{');
                for (i, (key, value)) in sorted.into_iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(out, key);
                    out.push(':');
                    value.write_with(out, number);
                }
                out.push('}');
            }
        }
    }
}

impl<'a> Json<'a> {
    /// The value of a key of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A number as Java prints it: whole numbers by their digits, others as a `BigDecimal`.
fn number_text(text: &str) -> Cow<'_, str> {
    if text.contains(['.', 'e', 'E']) {
        return Number::parse(text).map_or(Cow::Borrowed(text), |n| Cow::Owned(n.to_text()));
    }
    Cow::Borrowed(if text == "-0" { "0" } else { text })
}

/// The order of keys: that of Java's strings, by UTF-16 units.
pub(crate) fn sort_keys(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Appends a string in quotes, escaped as Jackson escapes it: nothing but quotes, backslashes and control characters.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                // Writing to a String does not fail.
                write!(out, "\\u{:04X}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
