//! `(start, end) OVERLAPS (start, end)`.
//!
//! Place in the flow: expressions become comparisons here, so that nothing behind knows of periods. Invariant: the ends of a period may be
//! swapped, an end may be an interval from its start, and periods that touch overlap.

use sqlparser::ast::Expr as Ast;

use super::expression::ExprBinder;
use crate::error::{Error, Result, Span};
use crate::sql::expr::Expr;
use crate::sql::functions::resolve;
use crate::sql::typing::case;
use crate::types::TypeKind;

/// First and last point of a period.
type Period = (Expr, Expr);

impl ExprBinder<'_> {
    /// Binds `left OVERLAPS right`.
    ///
    /// # Errors
    /// `Invalid` when a side is no pair of times, or of a time and an interval.
    pub(super) fn overlaps(&mut self, left: &Ast, right: &Ast, span: Span) -> Result<Expr> {
        let ((a, b), (c, d)) = (self.period(left, span)?, self.period(right, span)?);
        let starts_before = resolve("<=", vec![a, d], span)?;
        let ends_after = resolve("<=", vec![c, b], span)?;
        resolve("AND", vec![starts_before, ends_after], span)
    }

    /// Binds a period, in order.
    fn period(&mut self, ast: &Ast, span: Span) -> Result<Period> {
        let Ast::Tuple(parts) = ast else {
            return Err(Error::syntax("OVERLAPS compares (start, end) pairs"));
        };
        let [start, end] = parts.as_slice() else {
            return Err(Error::syntax("a period is written (start, end)"));
        };
        let (start, end) = (self.bind(start)?, self.bind(end)?);
        let is_interval = matches!(
            end.ty.kind,
            TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime
        );
        let end = if is_interval {
            resolve("+", vec![start.clone(), end], span)?
        } else {
            end
        };
        let in_order = resolve("<=", vec![start.clone(), end.clone()], span)?;
        let pick = |first: &Expr, second: &Expr| {
            let branches = vec![(in_order.clone(), first.clone())];
            case(branches, Some(second.clone()), span)
        };
        Ok((pick(&start, &end)?, pick(&end, &start)?))
    }
}
