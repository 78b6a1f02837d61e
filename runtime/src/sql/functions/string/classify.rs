//! What kind of text a value is, and its hash code.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: `IS_ALPHA`, `IS_DIGIT` and
//! `IS_DECIMAL` answer FALSE for NULL.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use regex::Regex;

use super::super::rules::count;
use super::super::{call, mismatch};
use super::utf16;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Letters as `Character.isLetter` has them, which looks at one UTF-16 unit.
static LETTERS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}&&[\u{0}-\u{FFFF}]]+$").ok());

/// Digits as `Character.isDigit` has them.
static DIGITS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{Nd}&&[\u{0}-\u{FFFF}]]+$").ok());

/// What `Double.parseDouble` reads.
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^[\x00-\x20]*[+-]?(?:NaN|Infinity|",
        r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?|",
        r"0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?",
        r")[\x00-\x20]*$"
    ))
    .ok()
});

/// `IS_ALPHA`, `IS_DIGIT` and `IS_DECIMAL` of a text or a number.
pub(super) fn class_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let kind = &args[0].ty.kind;
    let args = match kind {
        TypeKind::Null => vec![convert(args[0].clone(), &TypeKind::string())],
        kind if kind.is_character() || kind.is_numeric() => args,
        _ => return Err(mismatch(name, &args, "(STRING) or (a number)")),
    };
    Ok(call(name, args, TypeKind::Boolean.not_null(), span))
}

/// Tests texts, and numbers by their type.
fn classify(call: &Call<'_>, number: bool, text: impl Fn(&str) -> bool) -> Result<ArrayRef> {
    if call.types[0].kind.is_character() {
        let s = call.text(0)?;
        return call.booleans(|i| Ok(Some(s.get(i).is_some_and(&text))));
    }
    let column = call.column(0)?;
    call.booleans(|i| Ok(Some(number && column.is_valid(i))))
}

/// Whether a pattern that is known to compile matches.
fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// `IS_ALPHA`: no number is.
pub(super) fn is_alpha(call: &Call<'_>) -> Result<ArrayRef> {
    classify(call, false, |s| matches(&LETTERS, s))
}

/// `IS_DIGIT`: every integer is.
pub(super) fn is_digit(call: &Call<'_>) -> Result<ArrayRef> {
    classify(call, call.types[0].kind.is_integer(), |s| {
        matches(&DIGITS, s)
    })
}

/// `IS_DECIMAL`: every number is but, as in Flink, DECIMAL.
pub(super) fn is_decimal(call: &Call<'_>) -> Result<ArrayRef> {
    let number = !matches!(call.types[0].kind, TypeKind::Decimal { .. });
    classify(call, number, |s| matches(&NUMBER, s))
}

/// `HASH_CODE` of a text, a number, a BOOLEAN or a DATE.
pub(super) fn hash_code_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let args = match &args[0].ty.kind {
        TypeKind::Null => vec![convert(args[0].clone(), &TypeKind::string())],
        TypeKind::Boolean | TypeKind::Date => args,
        kind if kind.is_character() => args,
        kind if kind.is_numeric() && !matches!(kind, TypeKind::Decimal { .. }) => args,
        _ => return Err(mismatch(name, &args, "a STRING, a number, BOOLEAN or DATE")),
    };
    let ty = TypeKind::Int.nullable().with_nullable(args[0].ty.nullable);
    Ok(call(name, args, ty, span))
}

/// Java's `Long.hashCode`.
#[expect(clippy::cast_possible_truncation, reason = "Java keeps the lower half")]
fn of_long(value: i64) -> i32 {
    (value ^ (value >> 32)) as i32
}

/// `HASH_CODE`: Java's, of texts without sign.
pub(super) fn hash_code(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    /// Hashes a primitive column.
    macro_rules! primitive {
        ($ty:ty, $hash:expr) => {{
            let values = column.as_primitive::<$ty>();
            call.primitives::<Int32Type>(|i| Ok(values.is_valid(i).then(|| $hash(values.value(i)))))
        }};
    }
    match column.data_type() {
        DataType::Utf8 => {
            let s = call.text(0)?;
            call.primitives::<Int32Type>(|i| Ok(s.get(i).map(|s| utf16::hash(s).wrapping_abs())))
        }
        DataType::Boolean => {
            let values = column.as_boolean();
            call.primitives::<Int32Type>(|i| {
                let of = |value| if value { 1231 } else { 1237 };
                Ok(values.is_valid(i).then(|| of(values.value(i))))
            })
        }
        DataType::Int8 => primitive!(Int8Type, i32::from),
        DataType::Int16 => primitive!(Int16Type, i32::from),
        DataType::Int32 => primitive!(Int32Type, i32::from),
        DataType::Date32 => primitive!(Date32Type, i32::from),
        DataType::Int64 => primitive!(Int64Type, of_long),
        DataType::Float32 => primitive!(Float32Type, |x: f32| x.to_bits().cast_signed()),
        DataType::Float64 => primitive!(Float64Type, |x: f64| of_long(x.to_bits().cast_signed())),
        other => Err(Error::internal(format!("HASH_CODE of {other}"))),
    }
}
