//! LIKE and SIMILAR TO.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: there is no escape character unless
//! one is given, and a pattern is compiled once as long as it stays the same.

use arrow::array::ArrayRef;
use regex::{Regex, RegexBuilder};

use super::super::rules::count;
use super::super::{any_nullable, call, mismatch, resolve};
use super::java::JavaRegex;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Largest compiled pattern, in bytes.
///
/// # Source
/// Guess, unmeasured: bounds memory that a pattern from data may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Characters with a meaning in SIMILAR TO.
///
/// # Source
/// SQL:2003, part 2, section 8.6.
const SIMILAR_SPECIALS: &str = "[]()|^-+*_%?{}";

/// Of those, the ones that need a backslash in a Java pattern.
const JAVA_SPECIALS: &str = "[]()|^-+*?{}$\\.";

/// Names of classes in SIMILAR TO, upper or lower case, and what they are in a Java pattern.
const CLASSES: [(&str, &str); 7] = [
    ("[:alpha:]", r"\p{Alpha}"),
    ("[:upper:]", r"\p{Upper}"),
    ("[:lower:]", r"\p{Lower}"),
    ("[:digit:]", r"\d"),
    ("[:space:]", r"\s"),
    ("[:whitespace:]", r"\s"),
    ("[:alnum:]", r"\p{Alnum}"),
];

/// LIKE and SIMILAR TO with an optional escape character.
pub(super) fn like_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=3)?;
    if let Some(positive) = name.strip_prefix("NOT ") {
        let inner = resolve(positive, args, span)?;
        return resolve("NOT", vec![inner], span);
    }
    let fits = |arg: &Expr| arg.ty.kind.is_character() || arg.ty.kind == TypeKind::Null;
    if !args.iter().all(fits) {
        return Err(mismatch(name, &args, "(STRING, STRING)"));
    }
    let nullable = any_nullable(&args);
    let text = |arg: Expr| {
        if arg.ty.kind == TypeKind::Null {
            convert(arg, &TypeKind::string())
        } else {
            arg
        }
    };
    let args = args.into_iter().map(text).collect();
    let ty = TypeKind::Boolean.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// A compiled pattern of LIKE or SIMILAR TO.
#[derive(Debug)]
enum Compiled {
    /// Of LIKE.
    Like(Regex),
    /// Of SIMILAR TO.
    Similar(JavaRegex),
}

/// Compiles a pattern with an escape character.
type Compile = fn(&str, Option<char>) -> Result<Compiled>;

/// The last pattern with its escape character, compiled.
type Known = Option<(String, Option<char>, Compiled)>;

/// `LIKE`.
pub(super) fn like(call: &Call<'_>) -> Result<ArrayRef> {
    matching(call, |pattern, escape| {
        let compiled = RegexBuilder::new(&format!("^(?:{})$", like_pattern(pattern, escape)?))
            .dot_matches_new_line(true)
            .size_limit(MAX_PATTERN_BYTES)
            .build();
        Ok(Compiled::Like(compiled.map_err(|_| invalid(pattern))?))
    })
}

/// `SIMILAR TO`.
pub(super) fn similar(call: &Call<'_>) -> Result<ArrayRef> {
    matching(call, |pattern, escape| {
        let java = similar_pattern(pattern, escape)?;
        let compiled = JavaRegex::compile(&format!(r"\A(?:{java})\z"));
        Ok(Compiled::Similar(compiled.ok_or_else(|| invalid(pattern))?))
    })
}

/// The error for a pattern that cannot be compiled.
fn invalid(pattern: &str) -> Error {
    Error::arithmetic(format!("invalid pattern \"{pattern}\""))
}

/// The error for an escape character before one that needs none, or at the end.
fn invalid_escape(pattern: &str) -> Error {
    Error::arithmetic(format!(
        "invalid escape sequence in the pattern \"{pattern}\""
    ))
}

/// Matches texts against patterns.
fn matching(call: &Call<'_>, compile: Compile) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    let escape = call.args.get(2).map(|_| call.text(2)).transpose()?;
    call.memory.with(
        || Known::None,
        |known| {
            call.booleans(|i| {
                let escape = escape.as_ref().map_or(Some(""), |escape| escape.get(i));
                let (Some(s), Some(pattern), Some(escape)) = (s.get(i), pattern.get(i), escape)
                else {
                    return Ok(None);
                };
                let escape = escape_character(escape)?;
                let fits = |(text, with, _): &(String, Option<char>, Compiled)| {
                    text == pattern && *with == escape
                };
                if !known.as_ref().is_some_and(fits) {
                    let compiled = compile(pattern, escape)?;
                    *known = Some((pattern.to_owned(), escape, compiled));
                }
                match known.as_ref().map(|(_, _, compiled)| compiled) {
                    Some(Compiled::Like(regex)) => Ok(Some(regex.is_match(s))),
                    Some(Compiled::Similar(regex)) => regex.is_match(s).map(Some),
                    None => Err(Error::internal("a pattern was just compiled")),
                }
            })
        },
    )
}

/// The escape character of an ESCAPE clause; none when it is empty.
fn escape_character(text: &str) -> Result<Option<char>> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (first, None) => Ok(first),
        _ => Err(Error::arithmetic(format!(
            "invalid escape character \"{text}\""
        ))),
    }
}

/// LIKE as a regular expression.
fn like_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            match characters.next() {
                Some(next) if matches!(next, '%' | '_') || Some(next) == escape => {
                    out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                }
                _ => return Err(invalid_escape(pattern)),
            }
        } else if c == '%' {
            out.push_str(".*");
        } else if c == '_' {
            out.push('.');
        } else {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
    }
    Ok(out)
}

/// Writes the character behind an escape character into a Java pattern.
fn escaped(out: &mut String, next: Option<char>, escape: Option<char>) -> Option<()> {
    let next = next?;
    if SIMILAR_SPECIALS.contains(next) {
        if JAVA_SPECIALS.contains(next) {
            out.push('\\');
        }
        out.push(next);
    } else if Some(next) == escape {
        out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
    } else {
        return None;
    }
    Some(())
}

/// SIMILAR TO as a Java pattern: `.` and `^` keep the meaning that they have there, as in Flink.
fn similar_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if Some(c) == escape {
            let next = rest.chars().next();
            escaped(&mut out, next, escape).ok_or_else(|| invalid_escape(pattern))?;
            rest = rest
                .get(next.map_or(0, char::len_utf8)..)
                .unwrap_or_default();
            continue;
        }
        match c {
            '_' => out.push('.'),
            '%' => out.push_str("(?s:.*)"),
            '[' => {
                rest = class(rest, &mut out, escape).ok_or_else(|| invalid(pattern))?;
            }
            ']' => return Err(invalid(pattern)),
            '\\' => out.push_str("\\\\"),
            '$' => out.push_str("\\$"),
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// Translates a class behind its opening bracket; returns what follows it.
fn class<'a>(mut rest: &'a str, out: &mut String, escape: Option<char>) -> Option<&'a str> {
    out.push('[');
    loop {
        if rest.starts_with("[:") {
            let (name, java) = CLASSES.iter().find(|(name, _)| {
                rest.starts_with(name) || rest.starts_with(&name.to_uppercase())
            })?;
            out.push_str(java);
            rest = rest.get(name.len()..)?;
            continue;
        }
        let c = rest.chars().next()?;
        rest = rest.get(c.len_utf8()..)?;
        if c == ']' {
            out.push(']');
            return Some(rest);
        }
        if Some(c) == escape {
            let next = rest.chars().next();
            escaped(out, next, escape)?;
            rest = rest.get(next.map_or(0, char::len_utf8)..)?;
        } else if c == '-' || c == '^' {
            out.push(c);
        } else if SIMILAR_SPECIALS.contains(c) {
            return None;
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
}
