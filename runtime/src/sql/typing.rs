//! Typing rules: common types, implicit and explicit casts, decimal arithmetic.
//!
//! Place in the flow: the binder and the function table ask here which type an expression gets and which casts are
//! allowed; the evaluator trusts the answer. Invariant: a cast that is accepted here can be evaluated, and every
//! conversion is an explicit [`ExprKind::Cast`].

use crate::error::{Error, Result, Span};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind};

/// The largest precision of DECIMAL.
///
/// # Source
/// Flink: `DecimalType.MAX_PRECISION`.
pub(crate) const MAX_DECIMAL_PRECISION: u8 = 38;

/// The digits after the point that a result keeps when its precision has to be cut, and that a quotient has at least.
///
/// # Source
/// Flink: rules for the result type of decimal arithmetic.
const MIN_KEPT_SCALE: u8 = 6;

/// A pair of precision and scale.
pub(crate) type PrecisionScale = (u8, u8);

/// The type that values of all the given types convert to without an explicit cast, as CASE, UNION and COALESCE need.
///
/// # Source
/// Calcite's least restrictive type with Flink's type system.
pub fn common_type(types: &[&FlinkType]) -> Option<FlinkType> {
    let (first, rest) = types.split_first()?;
    let mut kind = first.kind.clone();
    for ty in rest {
        kind = common_kind(&kind, &ty.kind)?;
    }
    let nullable = types
        .iter()
        .any(|ty| ty.nullable || ty.kind == TypeKind::Null);
    Some(FlinkType { kind, nullable })
}

/// The common type of two types, nullability apart.
#[expect(clippy::many_single_char_names, reason = "pairs of types of one shape")]
fn common_kind(a: &TypeKind, b: &TypeKind) -> Option<TypeKind> {
    use TypeKind as K;
    if a == b || *b == K::Null {
        return Some(a.clone());
    }
    if *a == K::Null {
        return Some(b.clone());
    }
    if a.is_numeric() && b.is_numeric() {
        return Some(common_numeric(a, b));
    }
    Some(match (a, b) {
        (K::Char(n) | K::VarChar(n), K::Char(m) | K::VarChar(m)) => K::VarChar(*n.max(m)),
        (K::Binary(n) | K::VarBinary(n), K::Binary(m) | K::VarBinary(m)) => K::VarBinary(*n.max(m)),
        (K::Time(p), K::Time(q)) => K::Time(*p.max(q)),
        (K::Timestamp(p), K::Timestamp(q)) => K::Timestamp(*p.max(q)),
        (K::Date, K::Timestamp(p)) | (K::Timestamp(p), K::Date) => K::Timestamp(*p),
        (K::TimestampLtz(p), K::TimestampLtz(q) | K::Timestamp(q))
        | (K::Timestamp(p), K::TimestampLtz(q)) => K::TimestampLtz(*p.max(q)),
        (K::Date, K::TimestampLtz(p)) | (K::TimestampLtz(p), K::Date) => K::TimestampLtz(*p),
        (K::Array(x), K::Array(y)) => K::Array(Box::new(common_type(&[x, y])?)),
        (K::Multiset(x), K::Multiset(y)) => K::Multiset(Box::new(common_type(&[x, y])?)),
        (K::Map(k, v), K::Map(l, w)) => K::Map(
            Box::new(common_type(&[k, l])?),
            Box::new(common_type(&[v, w])?),
        ),
        (K::Row(xs), K::Row(ys)) if xs.len() == ys.len() => K::Row(
            xs.iter()
                .zip(ys)
                .map(|(x, y)| {
                    Some(RowField {
                        name: x.name.clone(),
                        ty: common_type(&[&x.ty, &y.ty])?,
                    })
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// The common type of two numeric types.
#[expect(clippy::match_same_arms, reason = "one arm per rule of Flink")]
fn common_numeric(a: &TypeKind, b: &TypeKind) -> TypeKind {
    use TypeKind as K;
    match (a, b) {
        (K::Double, _) | (_, K::Double) => K::Double,
        (K::Float, K::Decimal { .. }) | (K::Decimal { .. }, K::Float) => K::Double,
        (K::Float, _) | (_, K::Float) => K::Float,
        (K::Decimal { .. }, _) | (_, K::Decimal { .. }) => {
            let ((p1, s1), (p2, s2)) = (exact(a).unwrap_or((19, 0)), exact(b).unwrap_or((19, 0)));
            let scale = s1.max(s2);
            let precision = ((p1 - s1).max(p2 - s2) + scale).min(MAX_DECIMAL_PRECISION);
            K::Decimal { precision, scale }
        }
        _ => {
            let rank = |kind: &K| exact(kind).unwrap_or((0, 0)).0;
            if rank(a) >= rank(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
    }
}

/// Precision and scale of an exact number: integers count as decimals of the digits they may have.
pub(crate) fn exact(kind: &TypeKind) -> Option<PrecisionScale> {
    match kind {
        TypeKind::TinyInt => Some((3, 0)),
        TypeKind::SmallInt => Some((5, 0)),
        TypeKind::Int => Some((10, 0)),
        TypeKind::BigInt => Some((19, 0)),
        TypeKind::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

/// The type of `a op b` for two exact numbers of which at least one is DECIMAL; `None` for another operator.
///
/// # Source
/// Flink: rules for addition, multiplication, division and remainder of decimals.
pub(crate) fn decimal_result(op: &str, a: PrecisionScale, b: PrecisionScale) -> Option<TypeKind> {
    let ((p1, s1), (p2, s2)) = (a, b);
    let scale = s1.max(s2);
    Some(match op {
        "+" | "-" => adjust((p1 - s1).max(p2 - s2) + scale + 1, scale),
        "*" => adjust(p1 + p2 + 1, s1 + s2),
        "/" => {
            let scale = MIN_KEPT_SCALE.max(s1 + p2 + 1);
            adjust(p1 - s1 + s2 + scale, scale)
        }
        "%" | "MOD" => adjust((p1 - s1).min(p2 - s2) + scale, scale),
        _ => return None,
    })
}

/// Cuts the scale, not the integer digits, when the precision would exceed the maximum.
pub(crate) fn adjust(precision: u8, scale: u8) -> TypeKind {
    if precision <= MAX_DECIMAL_PRECISION {
        return TypeKind::Decimal { precision, scale };
    }
    let integer_digits = precision - scale;
    let kept = MAX_DECIMAL_PRECISION
        .saturating_sub(integer_digits)
        .max(scale.min(MIN_KEPT_SCALE));
    TypeKind::Decimal {
        precision: MAX_DECIMAL_PRECISION,
        scale: kept,
    }
}

/// Whether two types hold the same values, nullability at any depth and field names apart.
#[expect(clippy::many_single_char_names, reason = "pairs of types of one shape")]
pub(crate) fn same_values(a: &TypeKind, b: &TypeKind) -> bool {
    use TypeKind as K;
    match (a, b) {
        (K::Array(x), K::Array(y)) | (K::Multiset(x), K::Multiset(y)) => {
            same_values(&x.kind, &y.kind)
        }
        (K::Map(k, v), K::Map(l, w)) => {
            same_values(&k.kind, &l.kind) && same_values(&v.kind, &w.kind)
        }
        (K::Row(xs), K::Row(ys)) => {
            xs.len() == ys.len()
                && xs
                    .iter()
                    .zip(ys)
                    .all(|(x, y)| x.name == y.name && same_values(&x.ty.kind, &y.ty.kind))
        }
        _ => a == b,
    }
}

/// Whether Flink converts silently, as INSERT and function arguments do.
///
/// # Source
/// Flink: table of implicit casts (`LogicalTypeCasts`).
#[expect(clippy::match_same_arms, reason = "one arm per row of Flink's table")]
fn is_implicit(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as K;
    match (from, to) {
        (K::Null, _) => true,
        (K::Char(_) | K::VarChar(_), K::VarChar(_)) | (K::Char(_), K::Char(_)) => true,
        (K::Binary(_) | K::VarBinary(_), K::VarBinary(_)) | (K::Binary(_), K::Binary(_)) => true,
        (from, K::Decimal { .. } | K::Double) => from.is_numeric(),
        (K::Decimal { .. } | K::Float, K::Float) => true,
        (from, K::Float) => from.is_integer(),
        (from, to) if from.is_integer() && to.is_integer() => exact(from) <= exact(to),
        (K::Timestamp(_), K::Date | K::Time(_)) | (K::Time(_), K::Time(_)) => true,
        (K::Timestamp(_) | K::TimestampLtz(_), K::Timestamp(_) | K::TimestampLtz(_)) => true,
        (K::Array(x), K::Array(y)) | (K::Multiset(x), K::Multiset(y)) => {
            is_implicit(&x.kind, &y.kind)
        }
        (K::Map(k, v), K::Map(l, w)) => {
            is_implicit(&k.kind, &l.kind) && is_implicit(&v.kind, &w.kind)
        }
        (K::Row(xs), K::Row(ys)) => {
            xs.len() == ys.len()
                && xs
                    .iter()
                    .zip(ys)
                    .all(|(x, y)| is_implicit(&x.ty.kind, &y.ty.kind))
        }
        _ => from == to,
    }
}

/// Whether `CAST(from AS to)` exists.
///
/// # Source
/// Flink: table of explicit casts in the documentation of types.
#[expect(clippy::match_same_arms, reason = "one arm per row of Flink's table")]
pub(crate) fn is_explicit(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as K;
    match (from, to) {
        (K::Null, _) => true,
        (_, K::Char(_) | K::VarChar(_)) => true,
        (K::Variant, to) => *to == K::Boolean || to.is_numeric() || *to == K::Variant,
        (from, K::Boolean) => *from == K::Boolean || from.is_character() || from.is_integer(),
        (K::Bitmap, K::Binary(_) | K::VarBinary(_)) => true,
        (from, K::Binary(_) | K::VarBinary(_)) => from.is_binary() || from.is_character(),
        (from, to) if to.is_numeric() => {
            from.is_numeric() || from.is_character() || *from == K::Boolean
        }
        (from, K::Date) => {
            from.is_character() || matches!(from, K::Date | K::Timestamp(_) | K::TimestampLtz(_))
        }
        (from, K::Time(_)) => {
            from.is_character() || matches!(from, K::Time(_) | K::Timestamp(_) | K::TimestampLtz(_))
        }
        (from, K::Timestamp(_) | K::TimestampLtz(_)) => {
            from.is_character()
                || matches!(
                    from,
                    K::Date | K::Time(_) | K::Timestamp(_) | K::TimestampLtz(_)
                )
        }
        (K::Array(x), K::Array(y)) | (K::Multiset(x), K::Multiset(y)) => {
            is_explicit(&x.kind, &y.kind)
        }
        (K::Map(k, v), K::Map(l, w)) => {
            is_explicit(&k.kind, &l.kind) && is_explicit(&v.kind, &w.kind)
        }
        (K::Row(xs), K::Row(ys)) => {
            xs.len() == ys.len()
                && xs
                    .iter()
                    .zip(ys)
                    .all(|(x, y)| is_explicit(&x.ty.kind, &y.ty.kind))
        }
        _ => from == to,
    }
}

/// Converts an expression the way INSERT and function calls do, without being asked to.
///
/// The result has the nullability of the expression: whether a NOT NULL column accepts it is the sink's decision.
///
/// # Errors
/// `Invalid` when Flink has no implicit cast between the types.
pub fn implicit_cast(expr: Expr, to: &FlinkType) -> Result<Expr> {
    if same_values(&expr.ty.kind, &to.kind) {
        return Ok(expr);
    }
    if !is_implicit(&expr.ty.kind, &to.kind) {
        return Err(Error::type_mismatch(format!(
            "{} is not converted to {} without a CAST",
            expr.ty, to.kind
        ))
        .with_span(expr.span));
    }
    Ok(convert(expr, &to.kind))
}

/// Converts an expression as `CAST` or, when `lenient`, as `TRY_CAST`.
///
/// # Errors
/// `Invalid` when Flink has no cast between the types, `Unsupported` for a type without storage.
pub fn explicit_cast(expr: Expr, to: FlinkType, lenient: bool, span: Span) -> Result<Expr> {
    to.to_arrow().map_err(|error| error.with_span(span))?;
    if !is_explicit(&expr.ty.kind, &to.kind) {
        let function = if lenient { "TRY_CAST" } else { "CAST" };
        return Err(Error::type_mismatch(format!(
            "{function} from {} to {to} does not exist",
            expr.ty
        ))
        .with_span(span));
    }
    let nullable = expr.ty.nullable || lenient || expr.ty.kind == TypeKind::Null;
    let ty = FlinkType {
        kind: to.kind,
        nullable,
    };
    // A time attribute that is cast is none any more, as in Flink, whatever its type.
    let may_be_attribute = ty.kind.is_time_attribute() && expr.as_column().is_some();
    if expr.ty.kind == ty.kind && expr.ty.nullable == ty.nullable && !may_be_attribute {
        return Ok(Expr { span, ..expr });
    }
    if expr.kind == ExprKind::Literal(Literal::Null) {
        return Ok(Expr {
            kind: ExprKind::Literal(Literal::Null),
            ty,
            span,
        });
    }
    Ok(Expr {
        kind: ExprKind::Cast {
            input: Box::new(expr),
            lenient,
        },
        ty,
        span,
    })
}

/// Wraps an expression in a cast that is known to exist, unless its values are of that type already.
pub(crate) fn convert(expr: Expr, to: &TypeKind) -> Expr {
    if same_values(&expr.ty.kind, to) {
        return expr;
    }
    let (span, nullable) = (
        expr.span,
        expr.ty.nullable || expr.ty.kind == TypeKind::Null,
    );
    let ty = FlinkType {
        kind: to.clone(),
        nullable,
    };
    if expr.kind == ExprKind::Literal(Literal::Null) {
        return Expr {
            kind: ExprKind::Literal(Literal::Null),
            ty,
            span,
        };
    }
    Expr {
        kind: ExprKind::Cast {
            input: Box::new(expr),
            lenient: false,
        },
        ty,
        span,
    }
}

/// `CASE WHEN c THEN v ... [ELSE e] END` with the branches cast to their common type.
///
/// # Errors
/// `Invalid` when a condition is not BOOLEAN or the values have no common type.
pub fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>, span: Span) -> Result<Expr> {
    for (condition, _) in &branches {
        if !matches!(condition.ty.kind, TypeKind::Boolean | TypeKind::Null) {
            return Err(Error::type_mismatch(format!(
                "a condition of CASE is {}, not BOOLEAN",
                condition.ty
            ))
            .with_span(condition.span));
        }
    }
    let mut types: Vec<&FlinkType> = branches.iter().map(|(_, value)| &value.ty).collect();
    types.extend(otherwise.as_ref().map(|value| &value.ty));
    let mut ty = common_type(&types).ok_or_else(|| {
        let listed: Vec<String> = types.iter().map(ToString::to_string).collect();
        Error::type_mismatch(format!(
            "the values of CASE have no common type: {}",
            listed.join(", ")
        ))
        .with_span(span)
    })?;
    ty.nullable |= otherwise.is_none();
    let branches = branches
        .into_iter()
        .map(|(condition, value)| {
            (
                convert(condition, &TypeKind::Boolean),
                convert(value, &ty.kind),
            )
        })
        .collect();
    let otherwise = otherwise.map(|value| Box::new(convert(value, &ty.kind)));
    Ok(Expr {
        kind: ExprKind::Case {
            branches,
            otherwise,
        },
        ty,
        span,
    })
}

/// The length of a character or binary type.
pub(crate) fn length_of(kind: &TypeKind) -> u32 {
    match kind {
        TypeKind::Char(n) | TypeKind::VarChar(n) | TypeKind::Binary(n) | TypeKind::VarBinary(n) => {
            *n
        }
        _ => MAX_LENGTH,
    }
}
