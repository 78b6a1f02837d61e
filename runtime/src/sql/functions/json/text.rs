//! `JSON_QUOTE`, `JSON_UNQUOTE` and `IS JSON`.
//!
//! Place in the flow: rows of the function table. Invariant: unquoting what was quoted gives the same text, as long as its
//! characters fit 16 bits.

use std::fmt::Write;

use arrow::array::ArrayRef;

use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::json::{Duplicates, Json, parse};
use crate::sql::expr::Expr;
use crate::sql::functions::rules::count;
use crate::sql::functions::{Function, Output, Param, Resolve, any_nullable, call};
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let text = Resolve::Signature(&[&[Param::Text]], Output::Text);
    let json_test = Resolve::Custom(test_type);
    vec![
        Function::new("JSON_QUOTE", text, |call| {
            let s = call.text(0)?;
            call.texts(|i| Ok(s.get(i).map(quote)))
        }),
        Function::new("JSON_UNQUOTE", text, |call| {
            let s = call.text(0)?;
            call.texts(|i| Ok(s.get(i).map(unquote)))
        }),
        Function::new("IS JSON VALUE", json_test, |call| is_json(call, |_| true)),
        Function::new("IS JSON SCALAR", json_test, |call| {
            is_json(call, |value| {
                !matches!(value, Json::Array(_) | Json::Object(_))
            })
        }),
        Function::new("IS JSON ARRAY", json_test, |call| {
            is_json(call, |value| matches!(value, Json::Array(_)))
        }),
        Function::new("IS JSON OBJECT", json_test, |call| {
            is_json(call, |value| matches!(value, Json::Object(_)))
        }),
    ]
}

/// `x IS JSON`.
fn test_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let nullable = any_nullable(&args);
    let args = args
        .into_iter()
        .map(|arg| super::character(name, arg))
        .collect::<Result<_>>()?;
    let ty = TypeKind::Boolean.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// Tests documents; NULL is none.
fn is_json(call: &Call<'_>, fits: fn(&Json<'_>) -> bool) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.booleans(|i| {
        let parsed = s.get(i).map(|s| parse(s, Duplicates::KeepLast));
        Ok(Some(parsed.is_some_and(|value| {
            value.is_ok_and(|value| fits(&value))
        })))
    })
}

/// The text in quotes, escaped; characters beyond ASCII become `\uXXXX`.
///
/// # Source
/// Flink 2.3 writes a character beyond 16 bits as its code point with five digits, followed by the second half of its pair.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let escape = |out: &mut String, code: u32| {
        // Writing to a String does not fail.
        write!(out, "\\u{code:04x}").unwrap_or_default();
    };
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii() => out.push(c),
            c => {
                escape(&mut out, c.into());
                let mut units = [0; 2];
                if let [_, second] = c.encode_utf16(&mut units) {
                    escape(&mut out, u32::from(*second));
                }
            }
        }
    }
    out.push('"');
    out
}

/// The text without quotes and escapes when it is a JSON string, else the text as it is.
fn unquote(text: &str) -> String {
    if parse(text, Duplicates::KeepLast).is_err() {
        return text.to_owned();
    }
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.and_then(unescape).unwrap_or_else(|| text.to_owned())
}

/// Replaces escapes; `None` for one that JSON does not have.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        units.extend(before.encode_utf16());
        let mut chars = escape[1..].chars();
        let unit = match chars.next() {
            // A backslash at the very end stays.
            None => u32::from('\\'),
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => 10,
            Some('r') => 13,
            Some('t') => 9,
            Some(c @ ('"' | '\\' | '/')) => c.into(),
            Some('u') => {
                let digits = chars.as_str().get(..4)?;
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                chars = chars.as_str()[4..].chars();
                let unit = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
                units.push(u16::try_from(unit).ok()?);
                rest = chars.as_str();
                continue;
            }
            Some(_) => return None,
        };
        units.push(u16::try_from(unit).ok()?);
        rest = chars.as_str();
    }
    units.extend(rest.encode_utf16());
    let chars = char::decode_utf16(units).map(|c| c.unwrap_or('?'));
    Some(chars.collect())
}
