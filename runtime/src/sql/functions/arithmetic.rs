//! `+`, `-`, `*`, `/`, `%`, MOD and unary minus on numbers, and times with intervals.
//!
//! Place in the flow: rows of the function table. Invariant: integers wrap as in Java, decimals that do not fit become
//! NULL, and only division of integers and decimals by zero fails.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};

use super::comparison::exact_decimal;
use super::rules::count;
use super::{Function, Resolve, any_nullable, call, mismatch};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::{Arg, Call};
use crate::sql::eval::{datetime, decimal};
use crate::sql::expr::Expr;
use crate::sql::typing::{PrecisionScale, common_type, convert, decimal_result, exact};
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("+", Resolve::Custom(binary), |call| kernel(call, Op::Add)),
        Function::new("-", Resolve::Custom(minus), |call| {
            if call.args.len() == 1 {
                negate(call)
            } else {
                kernel(call, Op::Subtract)
            }
        }),
        Function::new("*", Resolve::Custom(binary), |call| {
            kernel(call, Op::Multiply)
        }),
        Function::new("/", Resolve::Custom(binary), |call| {
            kernel(call, Op::Divide)
        })
        .failing(),
        Function::new("%", Resolve::Custom(binary), |call| {
            kernel(call, Op::Remainder)
        })
        .failing(),
        Function::new("MOD", Resolve::Custom(binary), |call| {
            kernel(call, Op::Remainder)
        })
        .failing(),
    ]
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Remainder,
}

/// Whether the type is an interval.
fn is_interval(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime
    )
}

/// Whether the type is a point in time that an interval can be added to.
fn is_point(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)
    )
}

/// `-x` and `a - b`.
fn minus(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    if args.len() != 1 {
        return binary(name, args, span);
    }
    let kind = &args[0].ty.kind;
    if !kind.is_numeric() && !is_interval(kind) {
        return Err(mismatch(name, &args, "a number or an interval"));
    }
    let ty = args[0].ty.clone();
    Ok(call(name, args, ty, span))
}

/// `a op b`.
fn binary(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let [left, right] =
        <[Expr; 2]>::try_from(args).map_err(|_| Error::internal("two operands were counted"))?;
    let (a, b) = (&left.ty.kind, &right.ty.kind);
    let (left, right) = match (a, b) {
        (TypeKind::Null, kind) if kind.is_numeric() => {
            let kind = kind.clone();
            (convert(left, &kind), right)
        }
        (kind, TypeKind::Null) if kind.is_numeric() => {
            let kind = kind.clone();
            (left, convert(right, &kind))
        }
        _ => (left, right),
    };
    if left.ty.kind.is_numeric() && right.ty.kind.is_numeric() {
        return numeric(name, left, right, span);
    }
    with_interval(name, left, right, span)
}

/// `a op b` on numbers.
fn numeric(name: &'static str, left: Expr, right: Expr, span: Span) -> Result<Expr> {
    let (a, b) = (left.ty.kind.clone(), right.ty.kind.clone());
    let remainder = matches!(name, "%" | "MOD");
    let is_decimal = |kind: &TypeKind| matches!(kind, TypeKind::Decimal { .. });
    if let (Some(x), Some(y)) = (exact(&a), exact(&b))
        && (is_decimal(&a) || is_decimal(&b))
    {
        let kind = decimal_result(name, x, y)
            .ok_or_else(|| Error::internal(format!("{name} has no decimal rule")))?;
        let args = vec![exact_decimal(left), exact_decimal(right)];
        let nullable = any_nullable(&args);
        let result = call(name, args, kind.nullable().with_nullable(nullable), span);
        // The remainder of whole numbers has the type of the divisor.
        return Ok(if remainder && x.1 == 0 && y.1 == 0 {
            convert(result, &b)
        } else {
            result
        });
    }
    let common = common_type(&[&left.ty, &right.ty])
        .ok_or_else(|| Error::internal("two numbers have no common type"))?;
    if remainder && !common.kind.is_integer() {
        return Err(mismatch(name, &[left, right], "exact numbers"));
    }
    let args = vec![convert(left, &common.kind), convert(right, &common.kind)];
    let result = call(name, args, common, span);
    Ok(if remainder {
        convert(result, &b)
    } else {
        result
    })
}

/// `a op b` where one is an interval.
fn with_interval(name: &'static str, left: Expr, right: Expr, span: Span) -> Result<Expr> {
    let (a, b) = (&left.ty.kind, &right.ty.kind);
    let (args, kind) = match name {
        "+" if is_interval(a) && is_point(b) => {
            let kind = b.clone();
            (vec![right, left], kind)
        }
        "+" | "-" if is_point(a) && is_interval(b) => {
            let kind = a.clone();
            (vec![left, right], kind)
        }
        "+" | "-" if is_interval(a) && a == b => {
            let kind = a.clone();
            (vec![left, right], kind)
        }
        "*" if is_interval(a) && b.is_integer() => {
            let kind = a.clone();
            let factor = convert(right, storage(&kind));
            (vec![left, factor], kind)
        }
        "*" if a.is_integer() && is_interval(b) => {
            let kind = b.clone();
            let factor = convert(left, storage(&kind));
            (vec![right, factor], kind)
        }
        _ => {
            return Err(mismatch(
                name,
                &[left, right],
                "two numbers, a time and an interval, or two intervals of one kind",
            ));
        }
    };
    let nullable = any_nullable(&args);
    Ok(call(
        name,
        args,
        kind.nullable().with_nullable(nullable),
        span,
    ))
}

/// The integer type that an interval is stored as.
fn storage(kind: &TypeKind) -> &'static TypeKind {
    if *kind == TypeKind::IntervalYearMonth {
        &TypeKind::Int
    } else {
        &TypeKind::BigInt
    }
}

/// Computes `a op b` for whatever types `binary` lets through.
fn kernel(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    if is_point(&call.ty.kind) {
        return datetime::add_interval(call, op == Op::Subtract);
    }
    match call.value(0)?.array().data_type() {
        DataType::Int8 => integers::<Int8Type>(call, op),
        DataType::Int16 => integers::<Int16Type>(call, op),
        DataType::Int32 => integers::<Int32Type>(call, op),
        DataType::Int64 => integers::<Int64Type>(call, op),
        DataType::Float32 => map::<Float32Type>(call, |a, b| match op {
            Op::Add => a + b,
            Op::Subtract => a - b,
            Op::Multiply => a * b,
            Op::Divide => a / b,
            Op::Remainder => a % b,
        }),
        DataType::Float64 => map::<Float64Type>(call, |a, b| match op {
            Op::Add => a + b,
            Op::Subtract => a - b,
            Op::Multiply => a * b,
            Op::Divide => a / b,
            Op::Remainder => a % b,
        }),
        DataType::Decimal128(..) => decimals(call, op),
        other => Err(Error::internal(format!("arithmetic on {other}"))),
    }
}

/// Integers, wrapping.
fn integers<T: ArrowPrimitiveType>(call: &Call<'_>, op: Op) -> Result<ArrayRef>
where
    T::Native: ArrowNativeTypeOp,
{
    match op {
        Op::Add => map::<T>(call, ArrowNativeTypeOp::add_wrapping),
        Op::Subtract => map::<T>(call, ArrowNativeTypeOp::sub_wrapping),
        Op::Multiply => map::<T>(call, ArrowNativeTypeOp::mul_wrapping),
        Op::Divide => checked::<T>(call, ArrowNativeTypeOp::div_wrapping),
        Op::Remainder => checked::<T>(call, ArrowNativeTypeOp::mod_wrapping),
    }
}

/// NULLs of a strict binary result; `None` in the outer option when a scalar is NULL, which makes everything NULL.
fn strict_nulls<A: Array>(a: &Arg<'_, A>, b: &Arg<'_, A>, rows: usize) -> Option<NullBuffer> {
    let scalar_null = |arg: &Arg<'_, A>| arg.at(1) == 0 && arg.is_null(0);
    if scalar_null(a) || scalar_null(b) {
        return Some(NullBuffer::new_null(rows));
    }
    let side = |arg: &Arg<'_, A>| {
        (arg.at(1) == 1)
            .then(|| arg.array.nulls().cloned())
            .flatten()
    };
    NullBuffer::union(side(a).as_ref(), side(b).as_ref())
}

/// Applies an operator that cannot fail to every slot.
fn map<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    op: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let (a, b) = (call.primitive::<T>(0)?, call.primitive::<T>(1)?);
    let (xs, ys) = (a.array.values(), b.array.values());
    let values: ScalarBuffer<T::Native> = match (a.at(1), b.at(1)) {
        (1, 1) => xs.iter().zip(ys).map(|(x, y)| op(*x, *y)).collect(),
        (1, _) => xs.iter().map(|x| op(*x, ys[0])).collect(),
        (_, 1) => ys.iter().map(|y| op(xs[0], *y)).collect(),
        _ => std::iter::once(op(xs[0], ys[0])).collect(),
    };
    let nulls = strict_nulls(&a, &b, values.len());
    Ok(Arc::new(PrimitiveArray::<T>::new(values, nulls)))
}

/// Applies division or remainder, which fail on a zero divisor in a row without NULL.
fn checked<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    op: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef>
where
    T::Native: ArrowNativeTypeOp,
{
    let (a, b) = (call.primitive::<T>(0)?, call.primitive::<T>(1)?);
    call.primitives::<T>(|i| match (a.get(i), b.get(i)) {
        (Some(_), Some(y)) if y.is_zero() => Err(Error::arithmetic("division by zero")),
        (Some(x), Some(y)) => Ok(Some(op(x, y))),
        _ => Ok(None),
    })
}

/// Precision and scale of a decimal type.
fn shape(kind: &TypeKind) -> Result<PrecisionScale> {
    match kind {
        TypeKind::Decimal { precision, scale } => Ok((*precision, *scale)),
        other => Err(Error::internal(format!("{other} is not a decimal"))),
    }
}

/// Decimals: NULL where the result does not fit.
fn decimals(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    let (_, s1) = shape(&call.types[0].kind)?;
    let (_, s2) = shape(&call.types[1].kind)?;
    let to = shape(&call.ty.kind)?;
    let (a, b) = (
        call.primitive::<Decimal128Type>(0)?,
        call.primitive::<Decimal128Type>(1)?,
    );
    let array = if let (1, 1, None, None) = (a.at(1), b.at(1), a.array.nulls(), b.array.nulls())
        && op != Op::Divide
        && op != Op::Remainder
    {
        let pairs = a.array.values().iter().zip(b.array.values());
        pairs
            .map(|(x, y)| apply(op, (*x, s1), (*y, s2), to))
            .collect::<Result<PrimitiveArray<Decimal128Type>>>()?
    } else {
        (0..call.rows)
            .map(|i| match (a.get(i), b.get(i)) {
                (Some(x), Some(y)) => apply(op, (x, s1), (y, s2), to),
                _ => Ok(None),
            })
            .collect::<Result<PrimitiveArray<Decimal128Type>>>()?
    };
    Ok(Arc::new(
        array.with_precision_and_scale(to.0, to.1.cast_signed())?,
    ))
}

/// One decimal operation.
fn apply(
    op: Op,
    a: decimal::Number,
    b: decimal::Number,
    to: PrecisionScale,
) -> Result<Option<i128>> {
    Ok(match op {
        Op::Add => decimal::add(a, b, to),
        Op::Subtract => decimal::add(a, (-b.0, b.1), to),
        Op::Multiply => decimal::multiply(a, b, to),
        Op::Divide | Op::Remainder if b.0 == 0 => {
            return Err(Error::arithmetic("division by zero"));
        }
        Op::Divide => decimal::divide(a, b, to),
        Op::Remainder => decimal::remainder(a, b, to),
    })
}

/// `-x`.
fn negate(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(arrow::compute::kernels::numeric::neg_wrapping(
        call.value(0)?.array().as_ref(),
    )?)
}
