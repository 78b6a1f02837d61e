//! LIKE, SIMILAR TO and regular expressions.
//!
//! Place in the flow: rows of the function table. Invariant: a pattern is compiled once per batch when it is constant, and
//! a regular expression that does not compile gives NULL (FALSE for REGEXP), as in Flink.

use std::cell::RefCell;

use arrow::array::ArrayRef;
use regex::{Regex, RegexBuilder};

use super::rules::count;
use super::{Function, Output, Param, Resolve, any_nullable, call, mismatch, resolve};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Largest compiled regular expression, in bytes.
///
/// # Source
/// Guess, unmeasured: bounds memory that a pattern from data may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let two: &[&[Param]] = &[&[Param::Text, Param::Text]];
    vec![
        Function::new("LIKE", Resolve::Custom(like_call), |call| {
            matching(call, like_pattern)
        })
        .failing(),
        Function::new(
            "NOT LIKE",
            Resolve::Custom(like_call),
            super::comparison::rewritten,
        ),
        Function::new("SIMILAR TO", Resolve::Custom(like_call), |call| {
            matching(call, similar_pattern)
        })
        .failing(),
        Function::new(
            "NOT SIMILAR TO",
            Resolve::Custom(like_call),
            super::comparison::rewritten,
        ),
        Function::new("REGEXP", Resolve::Signature(two, Output::Boolean), |call| {
            let (s, pattern) = (call.text(0)?, call.text(1)?);
            let cache = Cache::default();
            call.booleans(|i| {
                let args = s.get(i).zip(pattern.get(i));
                let Some((s, pattern)) = args else {
                    return Ok(None);
                };
                let found = cache.with(pattern, |regex| regex.is_match(s))?;
                Ok(Some(found.unwrap_or(false)))
            })
        }),
        Function::new(
            "REGEXP_REPLACE",
            Resolve::Signature(
                &[&[Param::Text, Param::Text, Param::Text]],
                Output::MaybeText,
            ),
            replace,
        ),
        Function::new(
            "REGEXP_EXTRACT",
            Resolve::Signature(
                &[
                    &[Param::Text, Param::Text],
                    &[Param::Text, Param::Text, Param::Int],
                ],
                Output::MaybeText,
            ),
            extract,
        ),
    ]
}

/// The last regular expression and its pattern.
#[derive(Debug, Default)]
struct Cache(RefCell<Option<(String, Option<Regex>)>>);

impl Cache {
    /// Uses the compiled pattern; `None` when it does not compile.
    ///
    /// # Errors
    /// `Unsupported` for what Java's patterns have and ours do not.
    fn with<T>(&self, pattern: &str, f: impl FnOnce(&Regex) -> T) -> Result<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if slot.as_ref().is_none_or(|(known, _)| known != pattern) {
            let regex = RegexBuilder::new(&java_pattern(pattern)?)
                .size_limit(MAX_PATTERN_BYTES)
                .build();
            *slot = Some((pattern.to_owned(), regex.ok()));
        }
        let compiled = slot.as_ref().and_then(|(_, regex)| regex.as_ref());
        Ok(compiled.map(f))
    }
}

/// A Java regular expression in the syntax of the regex crate: character classes are those of ASCII.
///
/// # Errors
/// `Unsupported` for look-around, back references, possessive quantifiers, atomic groups and quotation, which would
/// otherwise match something else.
fn java_pattern(pattern: &str) -> Result<String> {
    let refuse = |what: &str| {
        Err(Error::unsupported(format!(
            "{what} in the regular expression \"{pattern}\""
        )))
    };
    let special = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "++", "*+", "?+", "}+"];
    if let Some(found) = special.iter().find(|part| pattern.contains(**part)) {
        return refuse(found);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[a-zA-Z0-9_]"),
            Some('W') => out.push_str("[^a-zA-Z0-9_]"),
            Some('s') => out.push_str(r"[ \t\n\x0B\f\r]"),
            Some('S') => out.push_str(r"[^ \t\n\x0B\f\r]"),
            Some(c @ ('0'..='9' | 'Q' | 'E' | 'k' | 'G' | 'Z' | 'R' | 'h' | 'H' | 'X' | 'c')) => {
                return refuse(&format!("\\{c}"));
            }
            Some(next) => out.extend(['\\', next]),
            None => out.push('\\'),
        }
    }
    Ok(out)
}

/// LIKE and SIMILAR TO with an optional escape character.
fn like_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
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

/// Translates a SQL pattern with an escape character into a regular expression.
type Translate = fn(&str, Option<char>) -> Result<String>;

/// Matches a text against a SQL pattern.
fn matching(call: &Call<'_>, translate: Translate) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    let escape = if call.args.len() > 2 {
        Some(call.text(2)?)
    } else {
        None
    };
    let mut known: Option<(&str, Option<char>, Regex)> = None;
    call.booleans(|i| {
        let Some((s, pattern)) = s.get(i).zip(pattern.get(i)) else {
            return Ok(None);
        };
        let escape = match &escape {
            None => None,
            Some(escape) => match escape.get(i) {
                None => return Ok(None),
                Some(text) => escape_character(text)?,
            },
        };
        if let Some((before, with, regex)) = &known
            && *before == pattern
            && *with == escape
        {
            return Ok(Some(regex.is_match(s)));
        }
        let regex = RegexBuilder::new(&format!("^(?:{})$", translate(pattern, escape)?))
            .dot_matches_new_line(true)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|_| Error::arithmetic(format!("invalid pattern \"{pattern}\"")))?;
        let found = regex.is_match(s);
        known = Some((pattern, escape, regex));
        Ok(Some(found))
    })
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
                _ => {
                    return Err(Error::arithmetic(format!(
                        "invalid escape sequence in the pattern \"{pattern}\""
                    )));
                }
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

/// SIMILAR TO as a regular expression.
fn similar_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            let Some(next) = characters.next() else {
                return Err(Error::arithmetic(format!(
                    "invalid escape sequence in the pattern \"{pattern}\""
                )));
            };
            out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            continue;
        }
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        match c {
            '%' if !in_class => out.push_str(".*"),
            '_' if !in_class => out.push('.'),
            '.' | '^' | '$' | '\\' if !in_class => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// `REGEXP_REPLACE`: all occurrences; `$1` in the replacement is a group.
fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern, by) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let cache = Cache::default();
    call.texts(|i| {
        let (Some(s), Some(pattern), Some(by)) = (s.get(i), pattern.get(i), by.get(i)) else {
            return Ok(None);
        };
        let replaced = cache.with(pattern, |regex| {
            let template = java_replacement(by)?;
            Some(regex.replace_all(s, template.as_str()).into_owned())
        });
        Ok(replaced?.flatten())
    })
}

/// A Java replacement (`$1`, `\$`) as a template of the regex crate; `None` when Java refuses it.
fn java_replacement(by: &str) -> Option<String> {
    let mut out = String::with_capacity(by.len());
    let mut characters = by.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next()? {
                '$' => out.push_str("$$"),
                next => out.push(next),
            },
            '$' => {
                let digit = characters.next().filter(char::is_ascii_digit)?;
                out.push_str("${");
                out.push(digit);
                out.push('}');
            }
            _ => out.push(c),
        }
    }
    Some(out)
}

/// `REGEXP_EXTRACT`: a group of the first match, the whole match by default.
fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    let group = if call.args.len() > 2 {
        Some(call.int(2)?)
    } else {
        None
    };
    let cache = Cache::default();
    call.texts(|i| {
        let Some((s, pattern)) = s.get(i).zip(pattern.get(i)) else {
            return Ok(None);
        };
        let group = match &group {
            None => 0,
            Some(group) => match group.get(i).map(usize::try_from) {
                Some(Ok(group)) => group,
                _ => return Ok(None),
            },
        };
        let found = cache.with(pattern, |regex| {
            let captures = regex.captures(s)?;
            captures.get(group).map(|found| found.as_str())
        });
        Ok(found?.flatten())
    })
}
