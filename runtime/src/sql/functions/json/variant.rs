//! `PARSE_JSON`, `TRY_PARSE_JSON` and access to parts of a VARIANT.
//!
//! Place in the flow: rows of the function table; `a[b]` of a VARIANT is resolved here. Invariant: a VARIANT holds the
//! canonical text of its document: keys ascend, no blanks, numbers in the form that tells whole numbers, decimals and
//! floating-point numbers apart.

use std::borrow::Cow;

use arrow::array::{ArrayRef, BooleanArray, StringArray};

use super::character;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::json::{Duplicates, Json, parse};
use crate::sql::expr::Expr;
use crate::sql::functions::rules::count;
use crate::sql::functions::{Function, Resolve, any_nullable, call, mismatch};
use crate::sql::text::double_text;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Digits of the longest decimal; longer numbers are floating-point.
///
/// # Source
/// Flink: `BinaryVariantUtil.MAX_DECIMAL16_PRECISION`.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Largest document, bytes.
///
/// # Source
/// Flink: `BinaryVariantUtil.SIZE_LIMIT`.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Characters of a document that an error message shows. A guess, unmeasured: enough to recognise it.
const SHOWN_MAX: usize = 80;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let resolve = Resolve::Custom(parse_type);
    vec![
        Function::new("PARSE_JSON", resolve, |call| {
            read(call, |fault| Err(Error::arithmetic(fault)))
        })
        .failing(),
        Function::new("TRY_PARSE_JSON", resolve, |call| read(call, |_| Ok(None))),
    ]
}

/// `PARSE_JSON(document [, allow duplicate keys])`.
fn parse_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=2)?;
    let nullable = any_nullable(&args) || name == "TRY_PARSE_JSON";
    let mut converted = Vec::with_capacity(args.len());
    for (i, arg) in args.into_iter().enumerate() {
        converted.push(match (i, &arg.ty.kind) {
            (0, _) => character(name, arg)?,
            (_, TypeKind::Boolean | TypeKind::Null) => convert(arg, &TypeKind::Boolean),
            _ => return Err(mismatch(name, &[arg], "(STRING) or (STRING, BOOLEAN)")),
        });
    }
    let ty = TypeKind::Variant.nullable().with_nullable(nullable);
    Ok(call(name, converted, ty, span))
}

/// Parses documents.
fn read(call: &Call<'_>, failed: fn(String) -> Result<Option<String>>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    let allowed = if call.args.len() > 1 {
        Some(call.arg::<BooleanArray>(1)?)
    } else {
        None
    };
    call.texts(|row| {
        let duplicates = match &allowed {
            Some(allowed) if allowed.is_null(row) => return Ok(None),
            Some(allowed) if allowed.array.value(allowed.at(row)) => Duplicates::KeepLast,
            None | Some(_) => Duplicates::Refuse,
        };
        let Some(text) = s.get(row) else {
            return Ok(None);
        };
        match canonical(text, duplicates) {
            Ok(text) => Ok(Some(text)),
            Err(fault) => {
                let shown: String = text.chars().take(SHOWN_MAX).collect();
                failed(format!("cannot parse \"{shown}\" as JSON: {fault}"))
            }
        }
    })
}

/// The canonical text of a document.
fn canonical(text: &str, duplicates: Duplicates) -> Result<String, String> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("a VARIANT has at most {DOCUMENT_BYTES_MAX} bytes"));
    }
    let mut document = parse(text, duplicates)?;
    settle(&mut document);
    Ok(verbatim(&document))
}

/// Brings the numbers of a document to the form in which a VARIANT prints them.
fn settle(value: &mut Json<'_>) {
    match value {
        Json::Number(text) => *text = Cow::Owned(settled_number(text)),
        Json::Array(elements) => elements.iter_mut().for_each(settle),
        Json::Object(members) => members.iter_mut().for_each(|(_, value)| settle(value)),
        Json::Null | Json::Boolean(_) | Json::String(_) => {}
    }
}

/// A whole number or decimal as it is written, if it has few enough digits; else the nearest DOUBLE.
fn settled_number(text: &str) -> String {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if let Ok(value) = text.parse::<i64>() {
        return value.to_string();
    }
    let digits = unsigned.replacen('.', "", 1);
    let fraction = unsigned
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let significant = digits.trim_start_matches('0').len();
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit())
        && significant <= DECIMAL_DIGITS_MAX
        && fraction <= DECIMAL_DIGITS_MAX;
    if is_decimal {
        return if significant == 0 { unsigned } else { text }.to_owned();
    }
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    // JSON has no infinity; the largest number is what is nearest.
    double_text(value.clamp(f64::MIN, f64::MAX))
}

/// The JSON text with numbers as they are.
fn verbatim(value: &Json<'_>) -> String {
    value.to_json_verbatim()
}

/// `variant['key']` and `variant[1]`.
///
/// # Errors
/// `Invalid` for an index that is neither a character string nor a whole number.
pub(in crate::sql::functions) fn variant_item_type(
    name: &'static str,
    args: Vec<Expr>,
    span: Span,
) -> Result<Expr> {
    let mut args = args;
    let Some(index) = args.pop() else {
        return Err(mismatch(name, &args, "a VARIANT and a key or index"));
    };
    let index = match &index.ty.kind {
        kind if kind.is_character() => index,
        kind if kind.is_integer() => convert(index, &TypeKind::BigInt),
        _ => {
            args.push(index);
            return Err(mismatch(name, &args, "a VARIANT and a key or index"));
        }
    };
    args.push(index);
    Ok(call(name, args, TypeKind::Variant.nullable(), span))
}

/// The member of a key, or the element of an index that counts from 1; NULL when there is none.
///
/// # Errors
/// `Internal` when the first argument is no VARIANT.
pub(in crate::sql::functions) fn item_of_variant(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.arg::<StringArray>(0)?;
    if call.types[1].kind.is_character() {
        let keys = call.text(1)?;
        return call.texts(|row| {
            let (Some(text), Some(key)) = (documents.get(row), keys.get(row)) else {
                return Ok(None);
            };
            let document = stored(text)?;
            Ok(document.get(key).map(verbatim))
        });
    }
    let indices = call.long(1)?;
    call.texts(|row| {
        let (Some(text), Some(index)) = (documents.get(row), indices.get(row)) else {
            return Ok(None);
        };
        let Json::Array(elements) = stored(text)? else {
            return Ok(None);
        };
        let position = usize::try_from(index).ok().and_then(|i| i.checked_sub(1));
        Ok(position.and_then(|i| elements.get(i)).map(verbatim))
    })
}

/// The document of a VARIANT.
fn stored(text: &str) -> Result<Json<'_>> {
    parse(text, Duplicates::KeepLast)
        .map_err(|fault| Error::internal(format!("a VARIANT is no document: {fault}")))
}
