//! `URL_ENCODE`, `URL_DECODE` and `PARSE_URL`.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: the form is that of
//! `application/x-www-form-urlencoded` in UTF-8, and what cannot be decoded gives NULL.

use arrow::array::ArrayRef;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::rules::count;
use super::super::{call, mismatch};
use super::url_parts;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// What is written as `%XX`; the blank becomes `+` afterwards.
///
/// # Source
/// `java.net.URLEncoder`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'*')
    .remove(b'_');

/// How often `URL_DECODE_RECURSIVE` decodes at most.
///
/// # Source
/// Flink: default of its second argument.
const DEPTH_MAX: i64 = 10;

/// `URL_ENCODE`.
pub(super) fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.texts(|i| {
        let encoded = |s| utf8_percent_encode(s, ENCODED).to_string();
        Ok(s.get(i).map(|s| encoded(s).replace("%20", "+")))
    })
}

/// Decodes once; `None` for a `%` without two digits behind it.
fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut escapes = text.match_indices('%');
    if !escapes.all(|(at, _)| is_escape(at)) {
        return None;
    }
    let plain = text.replace('+', " ");
    Some(percent_decode_str(&plain).decode_utf8_lossy().into_owned())
}

/// `URL_DECODE`.
pub(super) fn decode(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.texts(|i| Ok(s.get(i).and_then(decoded)))
}

/// `URL_DECODE_RECURSIVE(text[, depth])`: the depth is a positive integer constant.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the function table hands arguments over"
)]
pub(super) fn recursive_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=2)?;
    let text = &args[0].ty.kind;
    if !text.is_character() && *text != TypeKind::Null {
        return Err(mismatch(name, &args, "(STRING) or (STRING, INT)"));
    }
    let depth = match args.get(1).map(|depth| &depth.kind) {
        None => DEPTH_MAX,
        Some(ExprKind::Literal(Literal::Integer(depth))) if *depth > 0 => *depth,
        Some(_) => {
            return Err(Error::type_mismatch(format!(
                "the depth of {name} is a positive integer constant"
            )));
        }
    };
    let text = convert(args[0].clone(), &TypeKind::string());
    let depth = Expr::literal(Literal::Integer(depth), TypeKind::BigInt.not_null());
    let ty = TypeKind::string().nullable();
    Ok(call(name, vec![text, depth], ty, span))
}

/// `URL_DECODE_RECURSIVE`: decodes until nothing changes; what was decoded last when it fails later.
pub(super) fn decode_recursive(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, depth) = (call.text(0)?, call.long(1)?);
    call.texts(|i| {
        let Some((s, depth)) = s.get(i).zip(depth.get(i)) else {
            return Ok(None);
        };
        let Some(mut text) = decoded(s) else {
            return Ok(None);
        };
        let mut before = s.to_owned();
        let mut left = depth - 1;
        while left > 0 && text != before {
            let Some(next) = decoded(&text) else {
                break;
            };
            before = std::mem::replace(&mut text, next);
            left -= 1;
        }
        Ok(Some(text))
    })
}

/// `PARSE_URL(url, part[, key])`.
pub(super) fn parse(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, part) = (call.text(0)?, call.text(1)?);
    let key = call.args.get(2).map(|_| call.text(2)).transpose()?;
    call.texts(|i| {
        let (Some(s), Some(part)) = (s.get(i), part.get(i)) else {
            return Ok(None);
        };
        let Some(url) = url_parts::parse(s) else {
            return Ok(None);
        };
        let Some(key) = &key else {
            return Ok(url.part(part));
        };
        let query = url.query.as_deref().filter(|_| part == "QUERY");
        let pairs = key
            .get(i)
            .zip(query)
            .map(|(key, query)| (key, query.split('&')));
        Ok(pairs.and_then(|(key, mut pairs)| {
            let value = |pair: &str| pair.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
            pairs.find_map(value)
        }))
    })
}
