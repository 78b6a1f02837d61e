//! `JSON_VALUE` with the types of its RETURNING clause.
//!
//! Place in the flow: called by [`super::query`]. Invariant: a scalar that does not fit the type is an error in the sense of
//! `ON ERROR`, never a changed value; fractions alone are cut for whole numbers.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, PrimitiveArray, StringArray,
};
use arrow::compute::interleave;
use arrow::datatypes::{
    Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};

use super::query::{Documents, Found, clause, empty, failed};
use crate::error::{Error, Result};
use crate::sql::eval::call::Call;
use crate::sql::eval::decimal;
use crate::sql::eval::json::number::Number;
use crate::sql::eval::json::{Json, Mode};
use crate::types::TypeKind;

/// Where the result of a row comes from, as the number of an array.
type Source = usize;

/// What the path finds, or NULL.
const FOUND: Source = 0;

/// Position of the value of `DEFAULT ... ON EMPTY`.
const IF_EMPTY: Source = 3;

/// Position of the value of `DEFAULT ... ON ERROR`.
const IF_ERROR: Source = 5;

/// Refuses types that `JSON_VALUE` does not return.
///
/// # Errors
/// `Invalid` naming the types it returns.
pub(super) fn check(name: &str, kind: &TypeKind) -> Result<()> {
    let fits = kind.is_numeric() || matches!(kind, TypeKind::VarChar(_) | TypeKind::Boolean);
    if fits {
        return Ok(());
    }
    Err(Error::type_mismatch(format!(
        "{name} returns STRING, BOOLEAN or a number, not {kind}"
    )))
}

/// The results of `JSON_VALUE`.
///
/// # Errors
/// `Data` for what the clauses make an error.
pub(super) fn value(call: &Call<'_>) -> Result<ArrayRef> {
    /// The column of a type of whole numbers.
    macro_rules! whole {
        ($ty:ty) => {
            primitive::<$ty>(call, |value| whole(value)?.try_into().ok())
        };
    }
    match &call.ty.kind {
        TypeKind::Boolean => {
            let rows = Rows::read(call, boolean)?;
            rows.finish(call, |values| Ok(Arc::new(BooleanArray::from(values))))
        }
        TypeKind::TinyInt => whole!(Int8Type),
        TypeKind::SmallInt => whole!(Int16Type),
        TypeKind::Int => whole!(Int32Type),
        TypeKind::BigInt => whole!(Int64Type),
        TypeKind::Float => primitive::<Float32Type>(call, |value| {
            let value: f32 = number(value)?.parse().ok()?;
            value.is_finite().then_some(value)
        }),
        TypeKind::Double => primitive::<Float64Type>(call, |value| {
            let value: f64 = number(value)?.parse().ok()?;
            value.is_finite().then_some(value)
        }),
        TypeKind::Decimal { precision, scale } => {
            let to = (*precision, *scale);
            let rows = Rows::<i128>::read(call, |value| {
                decimal::parse(number(value)?, to).ok().flatten()
            })?;
            rows.finish(call, |values| {
                let values: PrimitiveArray<Decimal128Type> = values.into_iter().collect();
                let values: Decimal128Array =
                    values.with_precision_and_scale(to.0, to.1.cast_signed())?;
                Ok(Arc::new(values))
            })
        }
        _ => {
            let rows = Rows::read(call, |value| Some(value.to_text()))?;
            rows.finish(call, |values| Ok(Arc::new(StringArray::from(values))))
        }
    }
}

/// The column of a primitive type.
fn primitive<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    convert: impl Fn(&Json<'_>) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let rows = Rows::read(call, convert)?;
    rows.finish(call, |values| {
        let values: PrimitiveArray<T> = values.into_iter().collect();
        Ok(Arc::new(values))
    })
}

/// The text of a number, or of a string that may be one.
fn number<'r>(value: &'r Json<'_>) -> Option<&'r str> {
    match value {
        Json::Number(text) | Json::String(text) => {
            // Strings are numbers as `BigDecimal` reads them: no blanks, no `NaN`.
            Number::parse(text).map(|_| text.as_ref())
        }
        _ => None,
    }
}

/// The whole part of a number.
fn whole(value: &Json<'_>) -> Option<i128> {
    Number::parse(number(value)?)?.truncated()
}

/// A BOOLEAN, or a string that is one.
fn boolean(value: &Json<'_>) -> Option<bool> {
    match value {
        Json::Boolean(value) => Some(*value),
        Json::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "t" | "yes" | "1" => Some(true),
            "false" | "f" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The results of all rows.
struct Rows<T> {
    /// What the path finds; NULL also where another source is taken.
    values: Vec<Option<T>>,
    /// Source of each row.
    sources: Vec<Source>,
}

impl<T> Rows<T> {
    /// Finds and converts the value of each row.
    fn read(call: &Call<'_>, convert: impl Fn(&Json<'_>) -> Option<T>) -> Result<Self> {
        let mut documents = Documents::new(call)?;
        let (on_empty, on_error) = (clause(call, 2)?, clause(call, 4)?);
        let if_empty = || match on_empty {
            "ERROR" => Err(empty("JSON_VALUE")),
            "DEFAULT" => Ok((None, IF_EMPTY)),
            _ => Ok((None, FOUND)),
        };
        let if_error = |fault: &str| match on_error {
            "ERROR" => Err(failed("JSON_VALUE", fault)),
            "DEFAULT" => Ok((None, IF_ERROR)),
            _ => Ok((None, FOUND)),
        };
        let mut rows = Self {
            values: Vec::with_capacity(call.rows),
            sources: Vec::with_capacity(call.rows),
        };
        for row in 0..call.rows {
            // Flink calls the function only if all its arguments are there, a default included.
            let lacks_default = [(on_empty, IF_EMPTY), (on_error, IF_ERROR)]
                .into_iter()
                .any(|(clause, arg)| clause == "DEFAULT" && is_null(call, arg, row));
            let (value, source) = documents.find(row, |found| match found {
                Found::Null => Ok((None, FOUND)),
                _ if lacks_default => Ok((None, FOUND)),
                Found::Empty => if_empty(),
                Found::Fault(fault) => if_error(&fault),
                Found::Part(mode, part) if !part.is_scalar() => match mode {
                    Mode::Lax => if_empty(),
                    Mode::Strict => if_error("strict mode takes a scalar"),
                },
                Found::Part(_, part) => match convert(&part) {
                    Some(value) => Ok((Some(value), FOUND)),
                    None => if_error(&format!("the value is no {}", call.ty.kind)),
                },
            })?;
            rows.values.push(value);
            rows.sources.push(source);
        }
        Ok(rows)
    }

    /// The column, with defaults in their places.
    fn finish(
        self,
        call: &Call<'_>,
        build: impl FnOnce(Vec<Option<T>>) -> Result<ArrayRef>,
    ) -> Result<ArrayRef> {
        let values = build(self.values)?;
        if self.sources.iter().all(|source| *source == FOUND) {
            return Ok(values);
        }
        let (empty, error) = (call.column(IF_EMPTY)?, call.column(IF_ERROR)?);
        let arrays: [&dyn Array; 3] = [&values, &empty, &error];
        let sources = self.sources.iter().enumerate();
        let sources: Vec<(usize, usize)> = sources
            .map(|(row, source)| match *source {
                IF_EMPTY => (1, row),
                IF_ERROR => (2, row),
                _ => (0, row),
            })
            .collect();
        Ok(interleave(&arrays, &sources)?)
    }
}

/// Whether an argument of a row is NULL.
fn is_null(call: &Call<'_>, arg: usize, row: usize) -> bool {
    call.value(arg).is_ok_and(|value| {
        let at = if value.is_scalar() { 0 } else { row };
        value.array().is_null(at)
    })
}
