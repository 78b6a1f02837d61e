//! The bounds that conditions set between two times.
//!
//! Place in the flow: joins ask here whether their condition makes them interval joins. Invariant: bounds are inclusive and whole
//! milliseconds, and a condition that is not taken stays in the rest.

use crate::plan::TimeDomain;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::TypeKind;

/// Bounds of left time minus right time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The time attribute of the left input.
    pub(super) left: usize,
    /// The time attribute of the right input.
    pub(super) right: usize,
    /// Least difference.
    pub(super) lower_ms: i64,
    /// Greatest difference.
    pub(super) upper_ms: i64,
}

/// A time attribute and a constant that is added to it.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// Column over both inputs.
    column: usize,
    /// Milliseconds.
    plus_ms: i64,
}

/// What a comparison says of the difference of two times.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// The time attribute of the left input.
    left: usize,
    /// The time attribute of the right input, over both.
    right: usize,
    /// `left - right >= lower_ms`.
    lower_ms: Option<i64>,
    /// `left - right <= upper_ms`.
    upper_ms: Option<i64>,
}

/// The bounds that conditions over two inputs set between a time attribute of each, and the other conditions; absent unless there
/// are both bounds. The left input has `width` columns.
pub(super) fn interval(
    conditions: &[Expr],
    width: usize,
    domain: &dyn Fn(usize) -> Option<TimeDomain>,
) -> Option<(Bounds, Vec<Expr>)> {
    let mut found: Option<(usize, usize)> = None;
    let (mut lower, mut upper): (Option<i64>, Option<i64>) = (None, None);
    let mut rest = Vec::new();
    for condition in conditions {
        let limits = limits(condition, width, domain);
        let pair = limits.first().map(|limit| (limit.left, limit.right));
        let fits = pair.is_some() && (found.is_none() || found == pair);
        if !fits {
            rest.push(condition.clone());
            continue;
        }
        found = pair;
        for limit in limits {
            lower = limit
                .lower_ms
                .map_or(lower, |ms| Some(lower.map_or(ms, |l| l.max(ms))));
            upper = limit
                .upper_ms
                .map_or(upper, |ms| Some(upper.map_or(ms, |u| u.min(ms))));
        }
    }
    let (left, right) = found?;
    let bounds = Bounds {
        left,
        right: right - width,
        lower_ms: lower?,
        upper_ms: upper?,
    };
    Some((bounds, rest))
}

/// Whether a condition sets the difference of two time attributes to one value.
pub(super) fn is_time_equality(
    condition: &Expr,
    width: usize,
    domain: &dyn Fn(usize) -> Option<TimeDomain>,
) -> bool {
    let limits = limits(condition, width, domain);
    limits
        .iter()
        .any(|limit| limit.lower_ms.is_some() && limit.lower_ms == limit.upper_ms)
}

/// What a condition says of the difference of two time attributes.
fn limits(
    condition: &Expr,
    width: usize,
    domain: &dyn Fn(usize) -> Option<TimeDomain>,
) -> Vec<Limit> {
    let ExprKind::Call { function, args } = &condition.kind else {
        return Vec::new();
    };
    let compare = |operator: &str, a: &Expr, b: &Expr| {
        let (a, b) = (term(a)?, term(b)?);
        let clocks = domain(a.column).zip(domain(b.column));
        if clocks.is_none_or(|(a, b)| a != b) {
            return None;
        }
        limit(operator, (a, b), width)
    };
    let found: Option<Vec<Limit>> = match (function.as_str(), args.as_slice()) {
        ("BETWEEN", [value, low, high]) => compare(">=", value, low)
            .zip(compare("<=", value, high))
            .map(|(low, high)| vec![low, high]),
        (operator, [a, b]) => compare(operator, a, b).map(|limit| vec![limit]),
        _ => None,
    };
    found.unwrap_or_default()
}

/// What `a operator b` says.
fn limit(operator: &str, (a, b): (Term, Term), width: usize) -> Option<Limit> {
    let (is_left, is_right) = (a.column < width, b.column < width);
    if is_left == is_right {
        return None;
    }
    // a + x op b + y  <=>  a - b op y - x; with a on the right, b - a reversed.
    let (left, right, difference, operator) = if is_left {
        (a.column, b.column, b.plus_ms - a.plus_ms, operator)
    } else {
        let reversed = match operator {
            ">" => "<",
            ">=" => "<=",
            "<" => ">",
            "<=" => ">=",
            other => other,
        };
        (b.column, a.column, a.plus_ms - b.plus_ms, reversed)
    };
    let (lower_ms, upper_ms) = match operator {
        "=" => (Some(difference), Some(difference)),
        ">=" => (Some(difference), None),
        ">" => (Some(difference + 1), None),
        "<=" => (None, Some(difference)),
        "<" => (None, Some(difference - 1)),
        _ => return None,
    };
    Some(Limit {
        left,
        right,
        lower_ms,
        upper_ms,
    })
}

/// A time with what is added to it.
fn term(expr: &Expr) -> Option<Term> {
    if let Some(column) = expr.as_column() {
        return Some(Term { column, plus_ms: 0 });
    }
    match &expr.kind {
        ExprKind::Cast { input, .. } if is_time(&input.ty.kind) && is_time(&expr.ty.kind) => {
            term(input)
        }
        ExprKind::Call { function, args } => match (function.as_str(), args.as_slice()) {
            ("+", [time, interval] | [interval, time]) if millis(interval).is_some() => {
                shifted(term(time)?, millis(interval)?)
            }
            ("-", [time, interval]) => shifted(term(time)?, -millis(interval)?),
            _ => None,
        },
        _ => None,
    }
}

/// A time with more added to it.
fn shifted(term: Term, plus_ms: i64) -> Option<Term> {
    Some(Term {
        plus_ms: term.plus_ms.checked_add(plus_ms)?,
        ..term
    })
}

/// Whether a type is a point in time.
fn is_time(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_))
}

/// Milliseconds of an interval constant.
fn millis(expr: &Expr) -> Option<i64> {
    match &expr.kind {
        ExprKind::Literal(Literal::Millis(millis)) => Some(*millis),
        ExprKind::Cast { input, .. } => millis(input),
        _ => None,
    }
}
