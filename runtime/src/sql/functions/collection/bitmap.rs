//! Functions over BITMAP, sets of 32-bit integers.
//!
//! Place in the flow: rows of the function table. Invariant: a negative INT stands for the integer without sign of the same
//! bits, which is also its place in the order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int32Array};
use arrow::datatypes::{Int32Type, Int64Type};
use roaring::RoaringBitmap;

use super::super::rules::count;
use super::super::{Custom, Function, Resolve};
use super::lists::{Lists, Picks};
use super::signatures::{converted, strict};
use crate::error::{Error, Result, Span};
use crate::sql::eval::bitmap::{read, text, write};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// Most elements that `BITMAP_TO_ARRAY` makes of the bitmaps of one batch.
///
/// # Source
/// Guess, unmeasured: a bitmap of a megabyte may hold every integer.
const MAX_ELEMENTS: u64 = 1 << 26;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let one = |name, custom: Custom, kernel| {
        Function::new(name, Resolve::Custom(custom), kernel).failing()
    };
    vec![
        one("BITMAP_BUILD", build_type, build),
        one("BITMAP_FROM_BYTES", from_bytes_type, from_bytes),
        one(
            "BITMAP_TO_BYTES",
            |name, args, span| of_bitmap(name, args, TypeKind::bytes(), span),
            |call| call.column(0),
        ),
        one(
            "BITMAP_TO_STRING",
            |name, args, span| of_bitmap(name, args, TypeKind::string(), span),
            to_string,
        ),
        one(
            "BITMAP_TO_ARRAY",
            |name, args, span| {
                let kind = TypeKind::Array(Box::new(TypeKind::Int.nullable()));
                of_bitmap(name, args, kind, span)
            },
            to_array,
        ),
        one(
            "BITMAP_CARDINALITY",
            |name, args, span| of_bitmap(name, args, TypeKind::BigInt, span),
            cardinality,
        ),
        one("BITMAP_AND", pair_type, |call| combine(call, |a, b| a & b)),
        one("BITMAP_OR", pair_type, |call| combine(call, |a, b| a | b)),
        one("BITMAP_XOR", pair_type, |call| combine(call, |a, b| a ^ b)),
        one("BITMAP_ANDNOT", pair_type, |call| {
            combine(call, |a, b| a - b)
        }),
    ]
}

/// A function of one bitmap.
fn of_bitmap(name: &str, args: Vec<Expr>, kind: TypeKind, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let args = converted(name, args, 0, &TypeKind::Bitmap.nullable(), "a BITMAP")?;
    Ok(strict(name, args, kind, span))
}

/// A function of two bitmaps.
fn pair_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let args = converted(name, args, 0, &TypeKind::Bitmap.nullable(), "two of BITMAP")?;
    Ok(strict(name, args, TypeKind::Bitmap, span))
}

/// `BITMAP_BUILD`.
fn build_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let array = TypeKind::Array(Box::new(TypeKind::Int.nullable()));
    let args = converted(name, args, 0, &array.nullable(), "an ARRAY<INT>")?;
    Ok(strict(name, args, TypeKind::Bitmap, span))
}

/// `BITMAP_FROM_BYTES`.
fn from_bytes_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let args = converted(name, args, 0, &TypeKind::bytes().nullable(), "BYTES")?;
    Ok(strict(name, args, TypeKind::Bitmap, span))
}

/// A column of bitmaps.
fn bitmaps(
    call: &Call<'_>,
    mut row: impl FnMut(usize) -> Result<Option<RoaringBitmap>>,
) -> Result<ArrayRef> {
    let mut builder = BinaryBuilder::new();
    for i in 0..call.rows {
        builder.append_option(row(i)?.map(write).transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

/// `BITMAP_BUILD`: NULL elements are left out.
fn build(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::of(call, 0)?;
    let values = lists.values().as_primitive_opt::<Int32Type>();
    let values = values.ok_or_else(|| Error::internal("BITMAP_BUILD of another type"))?;
    bitmaps(call, |row| {
        Ok(lists.get(row).map(|elements| {
            elements
                .filter(|element| values.is_valid(*element))
                .map(|element| values.value(element).cast_unsigned())
                .collect()
        }))
    })
}

/// `BITMAP_FROM_BYTES`.
fn from_bytes(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.arg::<BinaryArray>(0)?;
    bitmaps(call, |row| bytes.get(row).map(read).transpose())
}

/// `BITMAP_TO_STRING`.
fn to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.arg::<BinaryArray>(0)?;
    call.texts(|row| Ok(bytes.get(row).map(read).transpose()?.as_ref().map(text)))
}

/// `BITMAP_TO_ARRAY`.
fn to_array(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.arg::<BinaryArray>(0)?;
    let mut values: Vec<i32> = Vec::new();
    let mut picks = Picks::default();
    let mut total = 0_u64;
    for row in 0..call.rows {
        let Some(bitmap) = bytes.get(row).map(read).transpose()? else {
            picks.end_null();
            continue;
        };
        total = total.saturating_add(bitmap.len());
        if total > MAX_ELEMENTS {
            return Err(Error::arithmetic(format!(
                "BITMAP_TO_ARRAY makes at most {MAX_ELEMENTS} elements in a batch"
            )));
        }
        let first = values.len();
        values.extend(bitmap.iter().map(u32::cast_signed));
        picks.extend(0, first..values.len());
        picks.end();
    }
    let values: ArrayRef = Arc::new(Int32Array::from(values));
    picks.finish(call, &[&values])
}

/// `BITMAP_CARDINALITY`.
fn cardinality(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.arg::<BinaryArray>(0)?;
    call.primitives::<Int64Type>(|row| {
        let bitmap = bytes.get(row).map(read).transpose()?;
        Ok(bitmap.and_then(|bitmap| i64::try_from(bitmap.len()).ok()))
    })
}

/// A function of two bitmaps.
fn combine(
    call: &Call<'_>,
    with: fn(RoaringBitmap, RoaringBitmap) -> RoaringBitmap,
) -> Result<ArrayRef> {
    let (left, right) = (call.arg::<BinaryArray>(0)?, call.arg::<BinaryArray>(1)?);
    bitmaps(call, |row| match (left.get(row), right.get(row)) {
        (Some(left), Some(right)) => Ok(Some(with(read(left)?, read(right)?))),
        _ => Ok(None),
    })
}
