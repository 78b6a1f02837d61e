//! Joins with the version of a table at the time of a row: `FOR SYSTEM_TIME AS OF`.
//!
//! Place in the flow: a kind of join of FROM. Invariant: the right side is versioned by its primary key, and that key is among what
//! the join compares.

use sqlparser::ast::{Expr as Ast, JoinConstraint, Spanned, TableFactor};

use super::expression::ExprBinder;
use super::from::{alias_relation, plain_name};
use super::join::{FromScope, JoinPlace, Part};
use super::join_node::{KeyedJoin, all};
use super::query::QueryBinder;
use super::relation::{Draft, Field, PlanBuilder, Relation};
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{ChangelogMode, JoinKind, Operator, TemporalJoin, TimeDomain};
use crate::sql::expr::Expr;
use crate::sql::parser::tokens::span_of;

impl QueryBinder<'_> {
    /// Joins the rows before it with the versions of a table that were valid at their times.
    pub(super) fn temporal_join(
        &mut self,
        factor: &TableFactor,
        time: &Ast,
        scope: &mut FromScope,
        place: JoinPlace<'_>,
    ) -> Result<()> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return Err(Error::unsupported("FOR SYSTEM_TIME AS OF of a function"));
        };
        if !matches!(place.kind, JoinKind::Inner | JoinKind::Left) {
            return Err(Error::validation(
                "a temporal join is an INNER or LEFT join",
            ));
        }
        let JoinConstraint::On(on) = place.constraint else {
            return Err(Error::unsupported("a temporal join without ON"));
        };
        let left = self.collapse(scope, place.first_part)?;
        let bound = ExprBinder::within(&scope.fields[place.first..], self).bind(time)?;
        let over_left = left.over_base(&bound);
        let domain = self.builder.time_domain(&left.relation, &over_left);
        let Some(domain) = domain else {
            return Err(Error::validation(format!(
                "temporal table join currently only supports 'FOR SYSTEM_TIME AS OF' left table's time attribute field, not {}",
                bound.ty
            ))
            .with_span(span_of(time.span())));
        };
        let right = self.named(&name.clone())?;
        let right = alias_relation(right, alias.as_ref())?;
        let right_span = plain_name(name)?.span();
        // ON is bound over both; the scope keeps the columns of the right side.
        scope.add(right, right_span)?;
        let fields = &scope.fields[place.first..];
        let condition = ExprBinder::within(fields, self).bind_condition(on, "ON")?;
        if condition.is_correlated() {
            return Err(Error::unsupported(
                "columns of an enclosing query in a temporal join",
            ));
        }
        let Some(right) = scope.parts.pop() else {
            return Err(Error::internal("a temporal join without its right side"));
        };
        let columns = left.columns.iter().chain(&right.columns).copied().collect();
        let relation = self
            .versions((left, right), (place.kind, over_left, domain), &condition)
            .map_err(|error| error.with_span(place.span))?;
        scope.parts.push(Part {
            relation,
            columns,
            span: place.span,
        });
        scope.refresh();
        Ok(())
    }

    /// Joins a part with the versions of another one; the condition is over the columns of the scope.
    fn versions(
        &mut self,
        (mut left, mut right): (Part, Part),
        (kind, time, domain): (JoinKind, Expr, TimeDomain),
        condition: &Expr,
    ) -> Result<Relation> {
        if kind.nulls_right() {
            right.relation = self.builder.settle_all(right.relation);
        }
        self.builder.apply_window(&mut left.relation);
        self.builder.apply_window(&mut right.relation);
        let width = self.builder.width(&left.relation);
        let condition = condition.replace_columns(&|column, index| {
            if left.columns.contains(&index) {
                left.field(column, index)
            } else {
                right.field(column, index).map_columns(&|c| width + c)
            }
        });
        let (extended, places) = self.builder.extend(left.relation, &[time]);
        let width_now = self.builder.width(&extended);
        let condition =
            condition.map_columns(&|c| if c < width { c } else { c - width + width_now });
        self.versioned_join(
            (extended, right.relation),
            (kind, places[0], domain),
            condition,
        )
    }

    /// Adds the node of a temporal join.
    ///
    /// # Source
    /// Flink: in event time the right side has a primary key, which the condition compares, and a rowtime; the time attributes of the
    /// left side stay.
    fn versioned_join(
        &mut self,
        (left, right): (Relation, Relation),
        (kind, left_time, domain): (JoinKind, usize, TimeDomain),
        condition: Expr,
    ) -> Result<Relation> {
        if domain == TimeDomain::Processing {
            return Err(Error::unsupported(
                "FOR SYSTEM_TIME AS OF processing time: join as of a rowtime, the event-time attribute of the left side",
            ));
        }
        // As in a full join, no condition is tested before: a version for which one does not hold still ends the one before it.
        let (joined, left, right) =
            self.builder
                .keyed_join(JoinKind::Full, (left, right), vec![condition])?;
        let joined = KeyedJoin { kind, ..joined };
        let left_mode = self.builder.node(joined.left).changelog;
        let left_traits = self.builder.traits_of(joined.left).clone();
        let right_traits = self.builder.traits_of(joined.right).clone();
        if joined.left_keys.is_empty() {
            return Err(Error::validation(
                "currently the join key in temporal table join can not be empty",
            ));
        }
        let version_key = right_traits
            .keys
            .iter()
            .find(|key| key.iter().all(|column| joined.right_keys.contains(column)))
            .cloned();
        let right_time = right_traits.rowtimes.first().copied();
        if version_key.is_none() || right_time.is_none() {
            return Err(Error::validation(
                "event-time temporal table join requires both primary key and row time attribute in versioned table, and the primary key must be in the equivalence condition",
            ));
        }
        let width = self.builder.node(joined.left).schema.len();
        let schema = self.builder.joined_schema(&joined);
        let inputs = PlanBuilder::joined_inputs(&joined);
        let traits = Traits {
            window: None,
            ..left_traits
        };
        let operator = Operator::TemporalJoin(TemporalJoin {
            kind,
            left_keys: joined.left_keys.clone(),
            right_keys: joined.right_keys.clone(),
            left_time,
            right_time,
            version_key: version_key.unwrap_or_default(),
            residual: all(joined.residual)?,
            ignores_update_before: false,
        });
        let base = self.builder.add(Draft {
            operator,
            inputs,
            schema: schema.clone(),
            changelog: match left_mode {
                ChangelogMode::Append => ChangelogMode::Append,
                ChangelogMode::Upsert | ChangelogMode::Retract => ChangelogMode::Retract,
            },
            traits,
        });
        let of_right = right.fields.iter().map(|field| Field {
            expr: field.expr.replace_columns(&|_, index| {
                Expr::column(width + index, schema[width + index].ty.clone())
            }),
            ..field.clone()
        });
        Ok(Relation {
            base,
            window: None,
            condition: None,
            correlated: left.correlated,
            zeros: Vec::new(),
            fields: left.fields.iter().cloned().chain(of_right).collect(),
        })
    }
}
