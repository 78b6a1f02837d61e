//! Expressions: text with `#{Class.method 'argument', ...}` directives.
//!
//! Place in the flow: a column parses its expression once and evaluates it for every row. Invariant: what cannot be evaluated is
//! refused while parsing.

use super::directive::{self, Directive};
use super::random::RowRandom;
use crate::error::{Error, Result};

/// A parsed expression.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// What the value is put together from.
    parts: Vec<Part>,
}

/// A part of an expression.
#[derive(Debug, Clone)]
enum Part {
    /// Text that is copied.
    Text(String),
    /// Something to evaluate.
    Directive(Directive),
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// `Invalid` for a directive that does not end, does not exist or has other arguments.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("#{") {
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            let inside = &rest[start + 2..];
            let end = directive_end(inside).ok_or_else(|| {
                Error::option(format!("\"{}\" has no closing brace", &rest[start..]))
            })?;
            parts.push(Part::Directive(parse_directive(&inside[..end])?));
            rest = &inside[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Appends the value of a row.
    pub(super) fn evaluate(&self, random: &mut RowRandom, now_ms: i64, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Directive(directive) => directive.evaluate(random, now_ms, out),
            }
        }
    }
}

/// Where the closing brace outside quotes is.
fn directive_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            '}' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

/// Parses `Class.method 'argument', ...`.
fn parse_directive(text: &str) -> Result<Directive> {
    let text = text.trim();
    let name_len = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(name_len);
    let arguments = parse_arguments(rest).ok_or_else(|| {
        Error::option(format!(
            "\"#{{{text}}}\" is not like \"#{{Number.numberBetween '1','10'}}\""
        ))
    })?;
    if arguments.iter().any(|argument| argument.contains("#{")) {
        return Err(Error::unsupported(format!(
            "\"#{{{text}}}\": a directive inside an argument"
        )));
    }
    directive::resolve(name, &arguments)
}

/// Parses `'a', 'b'`; a quote inside is written `\'`, every other backslash stays.
fn parse_arguments(text: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if !arguments.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
        let mut argument = String::new();
        let mut chars = rest.strip_prefix('\'')?.chars();
        loop {
            match chars.next()? {
                '\'' => break,
                '\\' => match chars.next()? {
                    '\'' => argument.push('\''),
                    other => argument.extend(['\\', other]),
                },
                other => argument.push(other),
            }
        }
        arguments.push(argument);
        rest = chars.as_str().trim_start();
    }
    Some(arguments)
}
