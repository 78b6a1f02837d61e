//! Functions on character strings.
//!
//! Place in the flow: rows of the function table; the kernels are in the modules beside this one. Invariant: positions
//! count from 1, and any NULL argument gives NULL unless the row here says otherwise.
//!
//! Flink keeps two kinds of strings. Functions on its own binary strings count code points; functions that go through
//! Java's `String` count UTF-16 units (`LPAD`, `RPAD`, `OVERLAY`).

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::Int32Type;

use super::{Function, Output, Param, Resolve};
use crate::error::Result;
use crate::sql::eval::call::Call;

pub(super) mod change;
mod classify;
mod search;
mod slice;
pub(super) mod utf16;

/// A character string.
const T: Param = Param::Text;
/// One character string.
const TEXT: &[&[Param]] = &[&[T]];
/// One or two character strings.
const TEXT_1_2: &[&[Param]] = &[&[T], &[T, T]];
/// A character string and a number.
const TEXT_INT: &[&[Param]] = &[&[T, Param::Int]];
/// A character string, a start and perhaps a length.
const SLICE: &[&[Param]] = &[&[T, Param::Int], &[T, Param::Int, Param::Int]];

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = changes();
    all.extend(built());
    all.extend(numbers());
    all.extend(parts());
    all.extend(tests());
    all
}

/// Functions whose result has at most the length of their first argument.
fn changes() -> Vec<Function> {
    let same =
        |name, kernel| Function::new(name, Resolve::Signature(TEXT, Output::SameText), kernel);
    let trimmed = |name, kernel| {
        Function::new(
            name,
            Resolve::Signature(TEXT_1_2, Output::Varying(0)),
            kernel,
        )
    };
    vec![
        same("UPPER", |call| change::map(call, str::to_uppercase)),
        same("LOWER", |call| change::map(call, str::to_lowercase)),
        same("INITCAP", |call| change::map(call, change::initcap)),
        trimmed("LTRIM", |call| change::trim(call, change::Side::Left)),
        trimmed("RTRIM", |call| change::trim(call, change::Side::Right)),
        Function::new(
            "BTRIM",
            Resolve::Signature(TEXT_1_2, Output::Text),
            |call| change::trim(call, change::Side::Both),
        ),
        // TRIM(string) or TRIM(mode, characters, string): the binder writes the mode.
        Function::new(
            "TRIM",
            Resolve::Signature(&[&[T], &[T, T, T]], Output::VaryingLast),
            change::trim_mode,
        ),
    ]
}

/// Functions that build a string of any length.
fn built() -> Vec<Function> {
    let text = |signature| Resolve::Signature(signature, Output::Text);
    let maybe = |signature| Resolve::Signature(signature, Output::MaybeText);
    vec![
        Function::new(
            "||",
            Resolve::Signature(&[&[T, T]], Output::Sum),
            change::concat,
        ),
        Function::new("CONCAT", text(&[&[Param::Texts]]), change::concat),
        Function::new("CONCAT_WS", text(&[&[Param::Texts]]), change::concat_ws),
        Function::new("REPLACE", text(&[&[T, T, T]]), change::replace).failing(),
        Function::new("REPEAT", text(TEXT_INT), change::repeat).failing(),
        Function::new("REVERSE", maybe(TEXT), |call| {
            change::map(call, |s| s.chars().rev().collect())
        }),
        Function::new("LPAD", maybe(&[&[T, Param::Int, T]]), |call| {
            change::pad(call, change::Side::Left)
        })
        .failing(),
        Function::new("RPAD", maybe(&[&[T, Param::Int, T]]), |call| {
            change::pad(call, change::Side::Right)
        })
        .failing(),
        Function::new(
            "OVERLAY",
            Resolve::Signature(
                &[&[T, T, Param::Int], &[T, T, Param::Int, Param::Int]],
                Output::VaryingSum,
            ),
            change::overlay,
        ),
        Function::new(
            "TRANSLATE",
            Resolve::Signature(&[&[T, T, T]], Output::TextOfFirst),
            change::translate,
        ),
        Function::new("CHR", maybe(&[&[Param::Long]]), |call| {
            let n = call.long(0)?;
            // Flink takes the lowest byte as a Latin-1 character; a negative number gives the empty string.
            call.texts(|i| {
                Ok(n.get(i).map(|n| match u8::try_from(n & 0xFF) {
                    Ok(byte) if n >= 0 => char::from(byte).to_string(),
                    _ => String::new(),
                }))
            })
        }),
    ]
}

/// Functions that return a length, a position or a code.
fn numbers() -> Vec<Function> {
    let int = |signature| Resolve::Signature(signature, Output::Int);
    vec![
        Function::new("CHAR_LENGTH", int(TEXT), length),
        Function::new("CHARACTER_LENGTH", int(TEXT), length),
        Function::new(
            "POSITION",
            int(&[&[T, T], &[T, T, Param::Int]]),
            search::position,
        ),
        Function::new(
            "LOCATE",
            int(&[&[T, T], &[T, T, Param::Int]]),
            search::position,
        ),
        Function::new(
            "INSTR",
            int(&[
                &[T, T],
                &[T, T, Param::Int],
                &[T, T, Param::Int, Param::Int],
            ]),
            search::instr,
        )
        .failing(),
        Function::new("ASCII", int(TEXT), |call| {
            let s = call.text(0)?;
            call.primitives::<Int32Type>(|i| {
                let byte = s.get(i).map(|s| s.as_bytes().first().copied().unwrap_or(0));
                Ok(byte.map(|byte| i32::from(byte.cast_signed())))
            })
        }),
        Function::new(
            "HASH_CODE",
            Resolve::Custom(classify::hash_code_call),
            classify::hash_code,
        ),
    ]
}

/// Functions that return a part of a string.
fn parts() -> Vec<Function> {
    let part = |name, signature, kernel| {
        Function::new(
            name,
            Resolve::Signature(signature, Output::MaybeVarying(0)),
            kernel,
        )
    };
    vec![
        part("SUBSTRING", SLICE, slice::substring),
        part("SUBSTR", SLICE, slice::substring),
        part("LEFT", TEXT_INT, slice::left),
        part("RIGHT", TEXT_INT, slice::right),
        Function::new(
            "SPLIT_INDEX",
            Resolve::Signature(
                &[&[T, Param::Int, Param::Int], &[T, T, Param::Int]],
                Output::MaybeText,
            ),
            slice::split_index,
        ),
    ]
}

/// Functions that return TRUE or FALSE.
fn tests() -> Vec<Function> {
    let pair: &[&[Param]] = &[&[T, T], &[Param::Bytes, Param::Bytes]];
    let ends =
        |name, kernel| Function::new(name, Resolve::Signature(pair, Output::Boolean), kernel);
    let class = |name, kernel| Function::new(name, Resolve::Custom(classify::class_call), kernel);
    vec![
        ends("STARTSWITH", |call| {
            compare_bytes(call, <[u8]>::starts_with)
        }),
        ends("ENDSWITH", |call| compare_bytes(call, <[u8]>::ends_with)),
        class("IS_ALPHA", classify::is_alpha),
        class("IS_DIGIT", classify::is_digit),
        class("IS_DECIMAL", classify::is_decimal),
    ]
}

/// Compares two character or two byte strings by their bytes.
fn compare_bytes(call: &Call<'_>, test: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    if call.types[0].kind.is_binary() {
        let (a, b) = (call.arg::<BinaryArray>(0)?, call.arg::<BinaryArray>(1)?);
        return call.booleans(|i| Ok(a.get(i).zip(b.get(i)).map(|(a, b)| test(a, b))));
    }
    let (a, b) = (call.text(0)?, call.text(1)?);
    call.booleans(|i| {
        let both = a.get(i).zip(b.get(i));
        Ok(both.map(|(a, b)| test(a.as_bytes(), b.as_bytes())))
    })
}

/// Characters of a string.
fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.primitives::<Int32Type>(|i| Ok(s.get(i).map(|s| int(s.chars().count()))))
}

/// A count as INT.
fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
