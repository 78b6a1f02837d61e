//! Text and arrays or maps of text: SPLIT, `STR_TO_MAP`, `ARRAY_JOIN` and ELT.
//!
//! Place in the flow: rows of the function table. Invariant: a delimiter of `STR_TO_MAP` is a regular expression, that of SPLIT
//! is plain text, as in Flink.

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, StringBuilder, new_null_array};
use arrow::compute::interleave;
use regex::{Regex, RegexBuilder};

use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch};
use super::lists::{Items, Lists, Picks};
use super::map::last_of_each;
use super::signatures::{common_collection, element_of, strict};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::{Identities, Identity};
use crate::sql::expr::{Expr, Literal};
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Largest compiled delimiter, in bytes.
///
/// # Source
/// Guess, unmeasured: bounds memory that a delimiter from data may take.
const MAX_DELIMITER_BYTES: usize = 1 << 20;

/// Most characters that the results of one batch may have.
///
/// # Source
/// Arrow: offsets of text have 32 bits.
const MAX_BATCH_BYTES: usize = i32::MAX as usize;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("SPLIT", Resolve::Custom(split_type), split).failing(),
        Function::new("STR_TO_MAP", Resolve::Custom(to_map_type), to_map).failing(),
        Function::new("ARRAY_JOIN", Resolve::Custom(join_type), join).failing(),
        Function::new("ELT", Resolve::Custom(elt_type), elt),
    ]
}

/// Requires that arguments from one on are text.
fn texts(name: &str, args: Vec<Expr>, from: usize, expected: &str) -> Result<Vec<Expr>> {
    let is_text = |arg: &Expr| arg.ty.kind.is_character() || arg.ty.kind == TypeKind::Null;
    if !args.iter().skip(from).all(is_text) {
        return Err(mismatch(name, &args, expected));
    }
    let typed = |(i, arg): (usize, Expr)| {
        if i >= from && arg.ty.kind == TypeKind::Null {
            convert(arg, &TypeKind::string())
        } else {
            arg
        }
    };
    Ok(args.into_iter().enumerate().map(typed).collect())
}

/// SPLIT.
fn split_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let args = texts(name, args, 0, "(STRING, STRING)")?;
    let kind = TypeKind::Array(Box::new(TypeKind::string().nullable()));
    Ok(strict(name, args, kind, span))
}

/// `STR_TO_MAP`: the delimiters are `,` and `=` when they are left out.
fn to_map_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "(STRING) or (STRING, STRING, STRING)";
    if args.len() != 1 && args.len() != 3 {
        return Err(mismatch(name, &args, EXPECTED));
    }
    let mut args = texts(name, args, 0, EXPECTED)?;
    if args.len() == 1 {
        let word = |text: &str| {
            Expr::literal(
                Literal::String(text.to_owned()),
                TypeKind::Char(1).not_null(),
            )
        };
        args.extend([word(","), word("=")]);
    }
    let text = || Box::new(TypeKind::string().nullable());
    Ok(strict(name, args, TypeKind::Map(text(), text()), span))
}

/// `ARRAY_JOIN`.
fn join_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "(ARRAY<STRING>, STRING) or (ARRAY<STRING>, STRING, STRING)";
    count(name, &args, 2..=3)?;
    let element = element_of(name, &args, 0, EXPECTED)?;
    if !element.kind.is_character() && element.kind != TypeKind::Null {
        return Err(mismatch(name, &args, EXPECTED));
    }
    let mut args = texts(name, args, 1, EXPECTED)?;
    let of_text = TypeKind::Array(Box::new(TypeKind::string().nullable()));
    args[0] = convert(args[0].clone(), &of_text);
    Ok(strict(name, args, TypeKind::string(), span))
}

/// ELT: text or bytes, NULL for a place that does not exist.
fn elt_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "an integer, then text only or bytes only";
    count(name, &args, 2..=usize::MAX)?;
    let mut args = args;
    let values = args.split_off(1);
    let index = &args[0].ty.kind;
    if !index.is_integer() && *index != TypeKind::Null {
        args.extend(values);
        return Err(mismatch(name, &args, EXPECTED));
    }
    let of_text = values.iter().any(|value| value.ty.kind.is_character());
    let fits = if of_text {
        |kind: &TypeKind| kind.is_character() || *kind == TypeKind::Null
    } else {
        |kind: &TypeKind| kind.is_binary() || *kind == TypeKind::Null
    };
    if !values.iter().all(|value| fits(&value.ty.kind)) {
        args.extend(values);
        return Err(mismatch(name, &args, EXPECTED));
    }
    let (common, values) = common_collection(name, values, fits, EXPECTED)?;
    let mut args = vec![convert(args.remove(0), &TypeKind::BigInt)];
    args.extend(values);
    Ok(call(name, args, common.with_nullable(true), span))
}

/// SPLIT: an empty delimiter separates the characters.
fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters) = (call.text(0)?, call.text(1)?);
    let mut parts = StringBuilder::new();
    let mut picks = Picks::default();
    let mut bytes = 0_usize;
    for row in 0..call.rows {
        let (Some(text), Some(delimiter)) = (texts.get(row), delimiters.get(row)) else {
            picks.end_null();
            continue;
        };
        bytes = bytes.saturating_add(text.len());
        bounded("SPLIT", bytes)?;
        let first = parts.len();
        if delimiter.is_empty() {
            for (start, letter) in text.char_indices() {
                parts.append_value(&text[start..start + letter.len_utf8()]);
            }
        } else if !text.is_empty() {
            text.split(delimiter)
                .for_each(|part| parts.append_value(part));
        }
        picks.extend(0, first..parts.len());
        picks.end();
    }
    let parts: ArrayRef = Arc::new(parts.finish());
    picks.finish(call, &[&parts])
}

/// Refuses more text than a column may have.
fn bounded(name: &str, bytes: usize) -> Result<()> {
    if bytes > MAX_BATCH_BYTES {
        return Err(Error::arithmetic(format!(
            "the results of {name} in a batch are longer than {MAX_BATCH_BYTES} bytes together"
        )));
    }
    Ok(())
}

/// A delimiter that is a regular expression, compiled when it changes.
#[derive(Debug, Default)]
struct Delimiter(Option<(String, Regex)>);

impl Delimiter {
    /// The compiled expression.
    fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if self.0.as_ref().is_none_or(|(known, _)| known != pattern) {
            let regex = RegexBuilder::new(pattern)
                .size_limit(MAX_DELIMITER_BYTES)
                .build()
                .map_err(|_| {
                    Error::arithmetic(format!(
                        "the delimiter \"{pattern}\" of STR_TO_MAP is not a regular expression"
                    ))
                })?;
            self.0 = Some((pattern.to_owned(), regex));
        }
        let known = self.0.as_ref().map(|(_, regex)| regex);
        known.ok_or_else(|| Error::internal("a delimiter was compiled"))
    }
}

/// The parts of a text between matches, at most so many; as Java does it, without an empty part in front of a match of
/// nothing.
fn java_split<'t>(text: &'t str, delimiter: &Regex, limit: usize) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for found in delimiter.find_iter(text) {
        if parts.len() + 1 >= limit {
            break;
        }
        if found.start() == 0 && found.end() == 0 {
            continue;
        }
        parts.push(&text[from..found.start()]);
        from = found.end();
    }
    parts.push(&text[from..]);
    parts
}

/// `STR_TO_MAP`: a pair without the second delimiter has the value NULL.
fn to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, pairs, inner) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let (mut between_pairs, mut within) = (Delimiter::default(), Delimiter::default());
    let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut ends = Vec::with_capacity(call.rows);
    let mut bytes = 0_usize;
    for row in 0..call.rows {
        let (Some(text), Some(pairs), Some(inner)) =
            (texts.get(row), pairs.get(row), inner.get(row))
        else {
            ends.push(None);
            continue;
        };
        bytes = bytes.saturating_add(text.len());
        bounded("STR_TO_MAP", bytes)?;
        let mut parts = java_split(text, between_pairs.get(pairs)?, usize::MAX);
        if text.is_empty() {
            parts.clear();
        } else if parts.len() > 1 {
            let kept = parts.iter().rposition(|part| !part.is_empty());
            parts.truncate(kept.map_or(0, |last| last + 1));
        }
        let within = within.get(inner)?;
        for part in parts {
            let pair = java_split(part, within, 2);
            keys.append_value(pair.first().unwrap_or(&part));
            values.append_option(pair.get(1));
        }
        ends.push(Some(keys.len()));
    }
    let (keys, values): (ArrayRef, ArrayRef) = (Arc::new(keys.finish()), Arc::new(values.finish()));
    let identity = Identity::new(&keys)?;
    let (mut picks, mut found, mut first) = (Picks::default(), Identities::default(), 0);
    for end in ends {
        let Some(end) = end else {
            picks.end_null();
            continue;
        };
        found.clear();
        (first..end).for_each(|entry| found.push(&identity, entry));
        picks.extend(
            0,
            last_of_each(&found).into_iter().map(|index| first + index),
        );
        picks.end();
        first = end;
    }
    let values = picks.gather(&[&values])?;
    picks.finish_map(call, &[&keys], values)
}

/// `ARRAY_JOIN`: NULLs are left out unless there is a text for them.
fn join(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, delimiter) = (Lists::of(call, 0)?, call.text(1)?);
    let replacement = if call.args.len() > 2 {
        Some(call.text(2)?)
    } else {
        None
    };
    let words = lists.values().as_string_opt::<i32>();
    let words = words.ok_or_else(|| Error::internal("ARRAY_JOIN of another type"))?;
    let mut bytes = 0_usize;
    call.texts(|row| {
        let instead = match &replacement {
            Some(texts) => texts.get(row).map(Some),
            None => Some(None),
        };
        let (Some(elements), Some(delimiter), Some(instead)) =
            (lists.get(row), delimiter.get(row), instead)
        else {
            return Ok(None);
        };
        let mut joined = String::new();
        let mut is_first = true;
        for element in elements {
            let word = words.is_valid(element).then(|| words.value(element));
            let Some(word) = word.or(instead) else {
                continue;
            };
            if !is_first {
                joined.push_str(delimiter);
            }
            is_first = false;
            joined.push_str(word);
            bounded("ARRAY_JOIN", bytes.saturating_add(joined.len()))?;
        }
        bytes = bytes.saturating_add(joined.len());
        Ok(Some(joined))
    })
}

/// ELT.
fn elt(call: &Call<'_>) -> Result<ArrayRef> {
    let index = call.long(0)?;
    let items: Vec<Items<'_>> = (1..call.args.len())
        .map(|i| Items::of(call, i))
        .collect::<Result<_>>()?;
    let none = new_null_array(&call.ty.to_arrow()?, 1);
    let picks: Vec<(usize, usize)> = (0..call.rows)
        .map(|row| {
            let place = index.get(row).and_then(|place| usize::try_from(place).ok());
            let source = place.and_then(|place| place.checked_sub(1));
            match source.and_then(|source| Some((source, items.get(source)?))) {
                Some((source, item)) => (source, item.at(row)),
                None => (items.len(), 0),
            }
        })
        .collect();
    let mut sources: Vec<&dyn Array> = items.iter().map(|item| item.array.as_ref()).collect();
    sources.push(&none);
    Ok(interleave(&sources, &picks)?)
}
