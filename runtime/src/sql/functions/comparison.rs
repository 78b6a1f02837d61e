//! Comparisons: `=`, `<>`, `<`, `<=`, `>`, `>=`, IS DISTINCT FROM, BETWEEN, IN, GREATEST and LEAST.
//!
//! Place in the flow: rows of the function table. Invariant: operands were cast to one type, except decimals, which are
//! compared exactly whatever their scales; floating point follows Java's operators (NaN equals nothing).

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::{and_kleene, interleave, not, or_kleene};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};

use super::rules::count;
use super::{Function, Resolve, any_nullable, call, mismatch, resolve};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::{Arg, Call, Value};
use crate::sql::eval::compare::{Identity, comparator};
use crate::sql::eval::decimal;
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::typing::{common_type, convert, exact};
use crate::types::{FlinkType, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("=", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Eq)
        }),
        Function::new("<>", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Ne)
        }),
        Function::new("<", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Lt)
        }),
        Function::new("<=", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Le)
        }),
        Function::new(">", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Gt)
        }),
        Function::new(">=", Resolve::Custom(comparison), |call| {
            kernel(call, Op::Ge)
        }),
        Function::new("IS DISTINCT FROM", Resolve::Custom(distinction), |call| {
            Ok(Arc::new(not(&same(call)?)?))
        }),
        Function::new(
            "IS NOT DISTINCT FROM",
            Resolve::Custom(distinction),
            |call| Ok(Arc::new(same(call)?)),
        ),
        Function::new("BETWEEN", Resolve::Custom(between), rewritten),
        Function::new("NOT BETWEEN", Resolve::Custom(between), rewritten),
        Function::new("IN", Resolve::Custom(membership), contained),
        Function::new("NOT IN", Resolve::Custom(membership), rewritten),
        Function::new("GREATEST", Resolve::Custom(extreme), |call| {
            pick(call, Ordering::Greater)
        }),
        Function::new("LEAST", Resolve::Custom(extreme), |call| {
            pick(call, Ordering::Less)
        }),
    ]
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// `=`.
    Eq,
    /// `<>`.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
}

impl Op {
    /// Whether the operator holds for an order of left to right.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
        }
    }

    /// Java's operator on floating point: every comparison with NaN but `<>` is false.
    fn holds_partial<T: PartialOrd + Copy>(self, a: T, b: T) -> bool {
        match self {
            Self::Eq => a == b,
            Self::Ne => a != b,
            Self::Lt => a < b,
            Self::Le => a <= b,
            Self::Gt => a > b,
            Self::Ge => a >= b,
        }
    }
}

/// Both operands in a form that can be compared.
fn aligned(name: &str, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
    let (a, b) = (&left.ty.kind, &right.ty.kind);
    let is_decimal = |kind: &TypeKind| matches!(kind, TypeKind::Decimal { .. });
    if (is_decimal(a) || is_decimal(b)) && exact(a).is_some() && exact(b).is_some() {
        return Ok((exact_decimal(left), exact_decimal(right)));
    }
    let is_time = |kind: &TypeKind| {
        matches!(
            kind,
            TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)
        )
    };
    let kind = if a.is_character() && is_time(b) {
        b.clone()
    } else if b.is_character() && is_time(a) {
        a.clone()
    } else {
        match common_type(&[&left.ty, &right.ty]) {
            Some(ty) => ty.kind,
            None => return Err(mismatch(name, &[left, right], "two values of one type")),
        }
    };
    let kind = if kind == TypeKind::Null {
        TypeKind::Boolean
    } else {
        kind
    };
    Ok((convert(left, &kind), convert(right, &kind)))
}

/// An exact number as DECIMAL without loss.
pub(super) fn exact_decimal(expr: Expr) -> Expr {
    match exact(&expr.ty.kind) {
        Some((precision, scale)) => convert(expr, &TypeKind::Decimal { precision, scale }),
        None => expr,
    }
}

/// Whether values of the type have an order.
pub(crate) fn is_ordered(kind: &TypeKind) -> bool {
    !matches!(
        kind,
        TypeKind::Array(_)
            | TypeKind::Map(..)
            | TypeKind::Multiset(_)
            | TypeKind::Row(_)
            | TypeKind::Bitmap
    )
}

/// Whether values of the type can be tested for equality.
fn has_equality(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Multiset(_) => false,
        TypeKind::Array(element) => has_equality(&element.kind),
        TypeKind::Map(key, value) => has_equality(&key.kind) && has_equality(&value.kind),
        TypeKind::Row(fields) => fields.iter().all(|field| has_equality(&field.ty.kind)),
        _ => true,
    }
}

/// Two operands, aligned.
fn operands(name: &str, args: Vec<Expr>) -> Result<Vec<Expr>> {
    count(name, &args, 2..=2)?;
    let mut args = args.into_iter();
    let (Some(left), Some(right)) = (args.next(), args.next()) else {
        return Err(Error::internal("two operands were counted"));
    };
    let (left, right) = aligned(name, left, right)?;
    let needs_order = name.starts_with(['<', '>']) && name != "<>";
    if needs_order && !is_ordered(&left.ty.kind) {
        return Err(mismatch(name, &[left, right], "values that have an order"));
    }
    if !has_equality(&left.ty.kind) {
        return Err(Error::unsupported(format!("{name} on {}", left.ty.kind)));
    }
    Ok(vec![left, right])
}

/// `=` and its kin.
fn comparison(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let args = operands(name, args)?;
    let nullable = any_nullable(&args);
    let ty = TypeKind::Boolean.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// IS DISTINCT FROM.
fn distinction(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let args = operands(name, args)?;
    Ok(call(name, args, TypeKind::Boolean.not_null(), span))
}

/// BETWEEN, as two comparisons.
fn between(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 3..=3)?;
    let [value, low, high] =
        <[Expr; 3]>::try_from(args).map_err(|_| Error::internal("three operands were counted"))?;
    let above = resolve(">=", vec![value.clone(), low], span)?;
    let below = resolve("<=", vec![value, high], span)?;
    let inside = resolve("AND", vec![above, below], span)?;
    if name == "BETWEEN" {
        return Ok(inside);
    }
    resolve("NOT", vec![inside], span)
}

/// IN with a list.
fn membership(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=usize::MAX)?;
    if name == "NOT IN" {
        let contained = resolve("IN", args, span)?;
        return resolve("NOT", vec![contained], span);
    }
    if let Some(tests) = row_tests(&args, span)? {
        return any_of(tests, span);
    }
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    let Some(ty) = common_type(&types) else {
        // Strings beside times have no common type, yet each pair can be compared.
        let mut args = args.into_iter();
        let Some(value) = args.next() else {
            return Err(Error::internal("operands were counted"));
        };
        let tests: Vec<Expr> = args
            .map(|item| resolve("=", vec![value.clone(), item], span))
            .collect::<Result<_>>()?;
        return any_of(tests, span);
    };
    if !has_equality(&ty.kind) {
        return Err(Error::unsupported(format!("{name} on {}", ty.kind)));
    }
    let args: Vec<Expr> = args.into_iter().map(|arg| convert(arg, &ty.kind)).collect();
    let nullable = any_nullable(&args);
    let ty = TypeKind::Boolean.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// Whether one of several tests holds.
fn any_of(tests: Vec<Expr>, span: Span) -> Result<Expr> {
    match <[Expr; 1]>::try_from(tests) {
        Ok([single]) => Ok(single),
        Err(tests) => resolve("OR", tests, span),
    }
}

/// The values of a row constructor.
fn row_parts(expr: &Expr) -> Option<&[Expr]> {
    match &expr.kind {
        ExprKind::Call { function, args } if function == "ROW" => Some(args),
        _ => None,
    }
}

/// The tests of `(a, b) IN ((1, 2), (3, 4))`: rows that are written out are compared value by value, so that a NULL among
/// them leaves the answer open. `None` when one is not written out.
fn row_tests(args: &[Expr], span: Span) -> Result<Option<Vec<Expr>>> {
    let Some(rows) = args.iter().map(row_parts).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some((value, items)) = rows.split_first() else {
        return Ok(None);
    };
    if items.iter().any(|item| item.len() != value.len()) {
        return Ok(None);
    }
    let test = |item: &&[Expr]| {
        let pairs = value.iter().zip(*item);
        let mut equal = pairs
            .map(|(a, b)| resolve("=", vec![a.clone(), b.clone()], span))
            .collect::<Result<Vec<Expr>>>()?;
        if equal.len() == 1 {
            return Ok(equal.remove(0));
        }
        resolve("AND", equal, span)
    };
    items.iter().map(test).collect::<Result<_>>().map(Some)
}

/// GREATEST and LEAST.
fn extreme(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    let ty = common_type(&types).filter(|ty| is_ordered(&ty.kind));
    let Some(ty) = ty else {
        return Err(mismatch(
            name,
            &args,
            "values of one type that has an order",
        ));
    };
    let args: Vec<Expr> = args.into_iter().map(|arg| convert(arg, &ty.kind)).collect();
    let nullable = any_nullable(&args);
    Ok(call(name, args, ty.with_nullable(nullable), span))
}

/// The kernel of names that `resolve` turns into other calls.
pub(super) fn rewritten(_call: &Call<'_>) -> Result<ArrayRef> {
    Err(Error::internal(
        "a plan holds a call that the binder rewrites",
    ))
}

/// Compares the first two arguments.
fn kernel(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    Ok(Arc::new(compare(call, 0, 1, op)?))
}

/// Compares two arguments with SQL's NULL.
fn compare(call: &Call<'_>, left: usize, right: usize, op: Op) -> Result<BooleanArray> {
    let (a, b) = (call.value(left)?, call.value(right)?);
    match a.array().data_type() {
        DataType::Float32 => {
            by_value::<Float32Type>(call, left, right, |x, y| op.holds_partial(x, y))
        }
        DataType::Float64 => {
            by_value::<Float64Type>(call, left, right, |x, y| op.holds_partial(x, y))
        }
        DataType::Decimal128(_, s1) => {
            let DataType::Decimal128(_, s2) = b.array().data_type() else {
                return Err(Error::internal("a decimal is compared with another type"));
            };
            if s1 == s2 {
                return by_value::<Decimal128Type>(call, left, right, |x, y| op.holds(x.cmp(&y)));
            }
            let (s1, s2) = (s1.unsigned_abs(), s2.unsigned_abs());
            by_value::<Decimal128Type>(call, left, right, |x, y| {
                op.holds(decimal::compare(x, s1, y, s2))
            })
        }
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
            by_identity(call, left, right, op)
        }
        DataType::Null => Ok(BooleanArray::new_null(call.rows)),
        _ => Ok(match op {
            Op::Eq => cmp::eq(a, b),
            Op::Ne => cmp::neq(a, b),
            Op::Lt => cmp::lt(a, b),
            Op::Le => cmp::lt_eq(a, b),
            Op::Gt => cmp::gt(a, b),
            Op::Ge => cmp::gt_eq(a, b),
        }?),
    }
}

/// NULLs of the result: where either argument is NULL.
fn joint_nulls<A: Array>(a: &Arg<'_, A>, b: &Arg<'_, A>, rows: usize) -> Option<NullBuffer> {
    let side = |arg: &Arg<'_, A>| {
        (arg.at(1) == 1)
            .then(|| arg.array.nulls().cloned())
            .flatten()
    };
    if rows > 0 && ((a.at(1) == 0 && a.is_null(0)) || (b.at(1) == 0 && b.is_null(0))) {
        return Some(NullBuffer::new_null(rows));
    }
    NullBuffer::union(side(a).as_ref(), side(b).as_ref())
}

/// Compares primitive values, NULL slots included, since their result is masked.
fn by_value<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    left: usize,
    right: usize,
    holds: impl Fn(T::Native, T::Native) -> bool,
) -> Result<BooleanArray> {
    let (a, b) = (
        call.arg::<PrimitiveArray<T>>(left)?,
        call.arg::<PrimitiveArray<T>>(right)?,
    );
    let (xs, ys) = (a.array.values(), b.array.values());
    let values = BooleanBuffer::collect_bool(call.rows, |i| holds(xs[a.at(i)], ys[b.at(i)]));
    Ok(BooleanArray::new(values, joint_nulls(&a, &b, call.rows)))
}

/// Compares nested values, which are equal or not.
fn by_identity(call: &Call<'_>, left: usize, right: usize, op: Op) -> Result<BooleanArray> {
    if op != Op::Eq && op != Op::Ne {
        return Err(Error::internal("nested values have no order"));
    }
    let (a, b) = (call.value(left)?, call.value(right)?);
    let (ours, theirs) = (Identity::new(a.array())?, Identity::new(b.array())?);
    let (mut written, mut other) = (Vec::new(), Vec::new());
    let place = |value: &Value, row| if value.is_scalar() { 0 } else { row };
    Ok((0..call.rows)
        .map(|row| {
            let (i, j) = (place(a, row), place(b, row));
            if a.array().is_null(i) || b.array().is_null(j) {
                return None;
            }
            written.clear();
            other.clear();
            let sound = ours.write(i, &mut written) && theirs.write(j, &mut other);
            Some((sound && written == other) == (op == Op::Eq))
        })
        .collect())
}

/// Equality that takes NULL for a value.
fn same(call: &Call<'_>) -> Result<BooleanArray> {
    let equal = compare(call, 0, 1, Op::Eq)?;
    let (a, b) = (call.column(0)?, call.column(1)?);
    let (a, b) = (a.logical_nulls(), b.logical_nulls());
    let null = |nulls: &Option<NullBuffer>, i| nulls.as_ref().is_some_and(|n| n.is_null(i));
    Ok((0..call.rows)
        .map(|i| {
            Some(match (null(&a, i), null(&b, i)) {
                (true, true) => true,
                (false, false) => equal.value(i),
                _ => false,
            })
        })
        .collect())
}

/// IN.
fn contained(call: &Call<'_>) -> Result<ArrayRef> {
    let mut result: Option<BooleanArray> = None;
    for i in 1..call.args.len() {
        let equal = compare(call, 0, i, Op::Eq)?;
        let equal = if equal.len() == call.rows {
            equal
        } else {
            let repeated = Value::Scalar(Arc::new(equal)).expand(call.rows)?;
            BooleanArray::from(repeated.to_data())
        };
        result = Some(match result {
            Some(before) => or_kleene(&before, &equal)?,
            None => equal,
        });
    }
    let found = result.ok_or_else(|| Error::internal("IN without a list"))?;
    Ok(Arc::new(found))
}

/// GREATEST and LEAST: NULL as soon as one argument is.
fn pick(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> = (0..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let mut winners = vec![(0_usize, 0_usize); call.rows];
    for (row, winner) in winners.iter_mut().enumerate() {
        *winner = (0, row);
    }
    for (i, candidate) in columns.iter().enumerate().skip(1) {
        for (j, best) in columns.iter().enumerate().take(i) {
            let order = comparator(candidate, best)?;
            for (row, winner) in winners.iter_mut().enumerate() {
                if winner.0 == j && order(row, row) == Some(wanted) {
                    *winner = (i + columns.len(), row);
                }
            }
        }
        for winner in &mut winners {
            if winner.0 >= columns.len() {
                winner.0 -= columns.len();
            }
        }
    }
    let refs: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let picked = interleave(&refs, &winners)?;
    let mut valid = BooleanArray::from(vec![true; call.rows]);
    for column in &columns {
        valid = and_kleene(&valid, &arrow::compute::is_not_null(column.as_ref())?)?;
    }
    let indices: UInt32Array = (0..call.rows)
        .map(|row| {
            valid
                .value(row)
                .then(|| u32::try_from(row).unwrap_or(u32::MAX))
        })
        .collect();
    Ok(arrow::compute::take(&picked, &indices, None)?)
}
