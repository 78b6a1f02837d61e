//! Mathematical functions.
//!
//! Place in the flow: rows of the function table. Invariant: integers and decimals stay exact; the rest is computed in
//! DOUBLE with libm, so that results do not depend on the machine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};

use super::rules::count;
use super::{Function, Output, Param, Resolve, any_nullable, call, mismatch};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::decimal;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::{MAX_DECIMAL_PRECISION, adjust, convert};
use crate::types::TypeKind;

/// The digits after the point that ROUND and TRUNCATE of DOUBLE look at.
///
/// # Source
/// The shortest text of a double from 1 up has at most 16 digits after the point.
const REAL_SCALE: u8 = 17;

/// Degrees of one radian.
///
/// # Source
/// `java.lang.Math` since Java 9, which multiplies with these constants.
const DEGREES_OF_RADIAN: f64 = 57.295_779_513_082_32;

/// Radians of one degree.
const RADIANS_OF_DEGREE: f64 = 0.017_453_292_519_943_295;

/// One DOUBLE.
const ONE: Resolve = Resolve::Signature(&[&[Param::Double]], Output::Double);
/// Two DOUBLEs.
const TWO: Resolve = Resolve::Signature(&[&[Param::Double, Param::Double]], Output::Double);
/// No argument.
const NONE: Resolve = Resolve::Signature(&[&[]], Output::Double);

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = exact();
    all.extend(real());
    all
}

/// Functions that keep the type of their argument.
fn exact() -> Vec<Function> {
    vec![
        Function::new("ABS", Resolve::Custom(same_type), absolute),
        Function::new("SIGN", Resolve::Custom(same_type), sign),
        Function::new("ROUND", Resolve::Custom(rounded), |call| round(call, true)),
        Function::new("TRUNCATE", Resolve::Custom(rounded), |call| {
            round(call, false)
        }),
    ]
}

/// Functions on DOUBLE.
fn real() -> Vec<Function> {
    vec![
        Function::new("POWER", TWO, |call| map2(call, libm::pow)),
        Function::new("SQRT", ONE, |call| map(call, libm::sqrt)),
        Function::new("EXP", ONE, |call| map(call, libm::exp)),
        Function::new("LN", ONE, |call| map(call, libm::log)),
        Function::new("LOG10", ONE, |call| map(call, libm::log10)),
        Function::new("LOG2", ONE, |call| {
            map(call, |x| libm::log(x) / libm::log(2.0))
        }),
        Function::new(
            "LOG",
            Resolve::Signature(
                &[&[Param::Double], &[Param::Double, Param::Double]],
                Output::Double,
            ),
            |call| {
                if call.args.len() == 1 {
                    map(call, libm::log)
                } else {
                    map2(call, |base, x| libm::log(x) / libm::log(base))
                }
            },
        ),
        Function::new("SIN", ONE, |call| map(call, libm::sin)),
        Function::new("COS", ONE, |call| map(call, libm::cos)),
        Function::new("TAN", ONE, |call| map(call, libm::tan)),
        Function::new("COT", ONE, |call| map(call, |x| 1.0 / libm::tan(x))),
        Function::new("ASIN", ONE, |call| map(call, libm::asin)),
        Function::new("ACOS", ONE, |call| map(call, libm::acos)),
        Function::new("ATAN", ONE, |call| map(call, libm::atan)),
        Function::new("SINH", ONE, |call| map(call, libm::sinh)),
        Function::new("COSH", ONE, |call| map(call, libm::cosh)),
        Function::new("TANH", ONE, |call| map(call, libm::tanh)),
        Function::new("ATAN2", TWO, |call| map2(call, libm::atan2)),
        Function::new("DEGREES", ONE, |call| map(call, |x| x * DEGREES_OF_RADIAN)),
        Function::new("RADIANS", ONE, |call| map(call, |x| x * RADIANS_OF_DEGREE)),
        Function::new("PI", NONE, |call| {
            call.primitives::<Float64Type>(|_| Ok(Some(std::f64::consts::PI)))
        }),
        Function::new("E", NONE, |call| {
            call.primitives::<Float64Type>(|_| Ok(Some(std::f64::consts::E)))
        }),
    ]
}

/// One number, result of its type.
fn same_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    if !args[0].ty.kind.is_numeric() {
        return Err(mismatch(name, &args, "a number"));
    }
    let ty = args[0].ty.clone();
    Ok(call(name, args, ty, span))
}

/// ROUND and TRUNCATE with an optional number of digits.
fn rounded(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=2)?;
    let mut args = args;
    let fits = args[0].ty.kind.is_numeric()
        && args
            .get(1)
            .is_none_or(|digits| digits.ty.kind.is_integer() && digits.ty.kind != TypeKind::BigInt);
    if !fits {
        return Err(mismatch(name, &args, "a number and perhaps INT digits"));
    }
    let digits = match args.get(1).map(|digits| &digits.kind) {
        None => Some(0),
        Some(ExprKind::Literal(Literal::Integer(digits))) => Some(*digits),
        Some(_) => None,
    };
    if let Some(digits) = args.get_mut(1) {
        *digits = convert(digits.clone(), &TypeKind::Int);
    }
    let kind = match (&args[0].ty.kind, digits) {
        (TypeKind::Decimal { precision, scale }, Some(digits)) => {
            let whole = precision - scale;
            match u8::try_from(digits) {
                Ok(kept) if kept >= *scale => args[0].ty.kind.clone(),
                Ok(kept) => adjust(1 + whole + kept, kept),
                Err(_) => adjust((1 + whole).min(MAX_DECIMAL_PRECISION), 0),
            }
        }
        (kind, _) => kind.clone(),
    };
    let nullable = any_nullable(&args);
    Ok(call(
        name,
        args,
        kind.nullable().with_nullable(nullable),
        span,
    ))
}

/// Applies a function of DOUBLE.
fn map(call: &Call<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let x = call.double(0)?;
    call.primitives::<Float64Type>(|i| Ok(x.get(i).map(f)))
}

/// Applies a function of two DOUBLEs.
fn map2(call: &Call<'_>, f: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (x, y) = (call.double(0)?, call.double(1)?);
    call.primitives::<Float64Type>(|i| Ok(x.get(i).zip(y.get(i)).map(|(x, y)| f(x, y))))
}

/// Applies a function to every value of a primitive argument, keeping its type.
fn unary<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    f: impl Fn(T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let array: &PrimitiveArray<T> = call.primitive::<T>(0)?.array;
    let mapped: PrimitiveArray<T> = array.unary(f);
    Ok(Arc::new(mapped.with_data_type(array.data_type().clone())))
}

/// The smaller of a number and its negative, with Java's wrapping.
fn magnitude<N: ArrowNativeTypeOp>(value: N) -> N {
    if value.is_lt(N::ZERO) {
        value.neg_wrapping()
    } else {
        value
    }
}

/// ABS.
fn absolute(call: &Call<'_>) -> Result<ArrayRef> {
    match call.value(0)?.array().data_type() {
        DataType::Int8 => unary::<Int8Type>(call, magnitude),
        DataType::Int16 => unary::<Int16Type>(call, magnitude),
        DataType::Int32 => unary::<Int32Type>(call, magnitude),
        DataType::Int64 => unary::<Int64Type>(call, magnitude),
        DataType::Float32 => unary::<Float32Type>(call, f32::abs),
        DataType::Float64 => unary::<Float64Type>(call, f64::abs),
        DataType::Decimal128(..) => unary::<Decimal128Type>(call, magnitude),
        other => Err(Error::internal(format!("ABS of {other}"))),
    }
}

/// SIGN.
fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let real = |x: f64| {
        if x == 0.0 || x.is_nan() {
            x
        } else {
            x.signum()
        }
    };
    match call.value(0)?.array().data_type() {
        DataType::Int8 => unary::<Int8Type>(call, i8::signum),
        DataType::Int16 => unary::<Int16Type>(call, i16::signum),
        DataType::Int32 => unary::<Int32Type>(call, i32::signum),
        DataType::Int64 => unary::<Int64Type>(call, i64::signum),
        DataType::Float32 => unary::<Float32Type>(call, |x| {
            if x == 0.0 || x.is_nan() {
                x
            } else {
                x.signum()
            }
        }),
        DataType::Float64 => unary::<Float64Type>(call, real),
        DataType::Decimal128(_, scale) => {
            let one = decimal::power_of_ten(scale.unsigned_abs());
            unary::<Decimal128Type>(call, |x| x.signum() * one)
        }
        other => Err(Error::internal(format!("SIGN of {other}"))),
    }
}

/// A decimal at `digits` digits after the point, then at the result scale.
fn round_decimal(value: i128, scale: u8, digits: i32, up: bool) -> Option<i128> {
    let drop = i32::from(scale) - digits;
    if drop <= 0 {
        return Some(value);
    }
    let drop = u8::try_from(drop).ok().filter(|drop| *drop <= 38);
    let Some(drop) = drop else {
        return Some(0);
    };
    let unit = decimal::power_of_ten(drop);
    let cut = if up {
        decimal::rescale(value, drop, (38, 0))?
    } else {
        value / unit
    };
    cut.checked_mul(unit)
}

/// ROUND (`HALF_UP`) and TRUNCATE.
fn round(call: &Call<'_>, up: bool) -> Result<ArrayRef> {
    let digits = if call.args.len() > 1 {
        Some(call.int(1)?)
    } else {
        None
    };
    let digits = |i: usize| digits.as_ref().map_or(Some(0), |digits| digits.get(i));
    /// Rounds integers at negative digits; what does not fit any more loses its upper bits, as in Java.
    macro_rules! integers {
        ($ty:ty, $native:ty) => {{
            let x = call.primitive::<$ty>(0)?;
            #[expect(clippy::cast_possible_truncation, reason = "Java keeps the lower bits")]
            call.primitives::<$ty>(|i| {
                Ok(x.get(i).zip(digits(i)).and_then(|(x, digits)| {
                    round_decimal(x.into(), 0, digits.min(0), up).map(|kept| kept as $native)
                }))
            })
        }};
    }
    match call.value(0)?.array().data_type() {
        DataType::Int8 => integers!(Int8Type, i8),
        DataType::Int16 => integers!(Int16Type, i16),
        DataType::Int32 => integers!(Int32Type, i32),
        DataType::Int64 => integers!(Int64Type, i64),
        DataType::Float32 => {
            let x = call.primitive::<Float32Type>(0)?;
            #[expect(clippy::cast_possible_truncation, reason = "the result is FLOAT")]
            call.primitives::<Float32Type>(|i| {
                Ok(x.get(i)
                    .zip(digits(i))
                    .map(|(x, digits)| round_real(x.into(), digits, up) as f32))
            })
        }
        DataType::Float64 => {
            let x = call.double(0)?;
            call.primitives::<Float64Type>(|i| {
                Ok(x.get(i)
                    .zip(digits(i))
                    .map(|(x, digits)| round_real(x, digits, up)))
            })
        }
        DataType::Decimal128(_, scale) => round_decimals(call, scale.unsigned_abs(), &digits, up),
        other => Err(Error::internal(format!("ROUND of {other}"))),
    }
}

/// A DOUBLE rounded as its shortest decimal text is.
fn round_real(x: f64, digits: i32, up: bool) -> f64 {
    // A number that does not fit has no digit after the point that a double could hold.
    let text = format!("{x:e}");
    let (value, scale) = match u8::try_from(digits) {
        Ok(scale) if up && scale <= REAL_SCALE => (decimal::parse(&text, (38, scale)), scale),
        Ok(scale) if scale > REAL_SCALE => return x,
        _ => {
            let value = decimal::parse(&text, (38, REAL_SCALE));
            let kept = value.map(|value| round_decimal(value?, REAL_SCALE, digits, up));
            (kept, REAL_SCALE)
        }
    };
    let rounded = value
        .ok()
        .flatten()
        .map(|value| decimal::to_text(value, scale));
    rounded.and_then(|text| text.parse().ok()).unwrap_or(x)
}

/// ROUND and TRUNCATE of decimals.
fn round_decimals(
    call: &Call<'_>,
    scale: u8,
    digits: &dyn Fn(usize) -> Option<i32>,
    up: bool,
) -> Result<ArrayRef> {
    let x = call.primitive::<Decimal128Type>(0)?;
    let TypeKind::Decimal {
        precision,
        scale: to,
    } = call.ty.kind
    else {
        return Err(Error::internal("a decimal is rounded to another type"));
    };
    let values: PrimitiveArray<Decimal128Type> = (0..call.rows)
        .map(|i| {
            let (x, digits) = x.get(i).zip(digits(i))?;
            let kept = round_decimal(x, scale, digits, up)?;
            decimal::rescale(kept, scale, (precision, to))
        })
        .collect();
    Ok(Arc::new(
        values.with_precision_and_scale(precision, to.cast_signed())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_types, fails};

    #[test]
    fn numbers_are_rounded_to_their_type() {
        check(&[
            ("ROUND(125.315)", "125"),
            ("ROUND(-125.315, 2)", "-125.32"),
            ("ROUND(125.315, -2)", "100"),
            ("ROUND(125.315, 9)", "125.315"),
            ("ROUND(2.5e0)", "3.0"),
            ("ROUND(-2.5e0)", "-3.0"),
            ("ROUND(CAST(NULL AS INT))", "NULL"),
            ("TRUNCATE(125.389)", "125"),
            ("TRUNCATE(125.389, 2)", "125.38"),
            ("TRUNCATE(-125.389, -1)", "-120"),
            ("TRUNCATE(2.99e0)", "2.0"),
            ("TRUNCATE(155, -1)", "150"),
            // Java keeps the lower bits of what does not fit.
            ("ROUND(CAST(127 AS TINYINT), -1)", "-126"),
            ("ROUND(2147483647, -1)", "-2147483646"),
        ]);
        check_types(&[
            ("ROUND(125.315)", "DECIMAL(4, 0) NOT NULL"),
            ("ROUND(125.315, 1)", "DECIMAL(5, 1) NOT NULL"),
            ("ROUND(125.315, -1)", "DECIMAL(4, 0) NOT NULL"),
            ("TRUNCATE(125.315, 1)", "DECIMAL(5, 1) NOT NULL"),
            ("TRUNCATE(125.315, 3)", "DECIMAL(6, 3) NOT NULL"),
            ("ROUND(1, CAST(NULL AS INT))", "INT"),
        ]);
        assert!(fails("ROUND('1')").contains("does not take"));
    }

    #[test]
    fn functions_of_double_are_those_of_java() {
        check(&[
            ("DEGREES(PI())", "180.0"),
            ("RADIANS(180)", "3.141592653589793"),
            ("LOG(2, 8)", "3.0"),
            ("LOG2(8)", "3.0"),
            ("LN(0)", "-Infinity"),
            ("SQRT(-1)", "NaN"),
            ("POWER(2, -1)", "0.5"),
            ("COT(0)", "Infinity"),
            ("ATAN2(1, 0)", "1.5707963267948966"),
            ("SINH(0)", "0.0"),
            ("SIGN(-2.5)", "-1.0"),
            ("ABS(-2147483648)", "-2147483648"),
            ("E()", "2.718281828459045"),
        ]);
        check_types(&[
            ("12345678901234567890", "DECIMAL(20, 0) NOT NULL"),
            ("SQRT(4)", "DOUBLE NOT NULL"),
            ("SIGN(-2.5)", "DECIMAL(2, 1) NOT NULL"),
            ("ABS(CAST(NULL AS TINYINT))", "TINYINT"),
        ]);
    }
}
