//! ORDER BY, LIMIT, OFFSET and FETCH.
//!
//! Place in the flow: the last clauses of a query. What it is ordered by and does not show is a hidden column until the rows are
//! sorted. Invariant: a limit without an order keeps any rows, one with an order those that come first.

use sqlparser::ast::{
    Expr as Ast, LimitClause, OrderByExpr, OrderByKind, Query as AstQuery, Value,
};

use super::aggregate::Grouping;
use super::column::find_field;
use super::expression::{ExprBinder, place};
use super::insert::table_is_bounded;
use super::over::{exchange, order_key};
use super::query::{QueryBinder, query_place};
use super::relation::{Draft, Field, Relation, Using};
use super::subquery::equal_sides;
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{
    ChangelogMode, Column, Exchange, Input, NodeId, Operator, Rank, RankFunction, RankRange, Sort,
    SortField,
};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::TypeKind;

/// What the names of hidden columns that a query is ordered by begin with; no user can write it unquoted.
const SORT_FIELD: &str = "ORDER BY ";

/// The order and the limits of a query.
pub(super) struct Ordering<'a> {
    /// `ORDER BY`.
    pub(super) keys: &'a [OrderByExpr],
    /// `OFFSET`.
    offset: u64,
    /// `LIMIT` or `FETCH`.
    fetch: Option<u64>,
}

impl<'a> Ordering<'a> {
    /// The order and the limits of a query.
    ///
    /// # Errors
    /// `Invalid` for limits that are no whole numbers and for clauses of other dialects.
    pub(super) fn of(query: &'a AstQuery) -> Result<Self> {
        let span = query_place(query);
        let keys = match query.order_by.as_ref() {
            None => &[][..],
            Some(order_by) => match (&order_by.kind, &order_by.interpolate) {
                (OrderByKind::Expressions(keys), None) => keys.as_slice(),
                _ => return Err(Error::syntax("Flink SQL has no ORDER BY ALL").with_span(span)),
            },
        };
        let (mut limit, mut offset) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit: of,
                offset: from,
                limit_by,
            }) => {
                if !limit_by.is_empty() {
                    return Err(Error::syntax("Flink SQL has no LIMIT BY").with_span(span));
                }
                limit = of.as_ref().map(count).transpose()?;
                offset = from.as_ref().map(|from| count(&from.value)).transpose()?;
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::syntax("a limit is written LIMIT n OFFSET m").with_span(span));
            }
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(Error::syntax("Flink SQL has no WITH TIES and PERCENT").with_span(span));
            }
            let rows = fetch.quantity.as_ref().map(count).transpose()?;
            limit = Some(rows.unwrap_or(1));
        }
        Ok(Self {
            keys,
            offset: offset.unwrap_or(0),
            fetch: limit,
        })
    }
}

/// A number of rows that is written out.
fn count(ast: &Ast) -> Result<u64> {
    let number = match ast {
        Ast::Value(value) => match &value.value {
            Value::Number(text, false) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| {
        Error::syntax("LIMIT, OFFSET and FETCH take a whole number").with_span(place(ast))
    })
}

/// Whether a field is only there to order by it.
fn is_sort_field(field: &Field) -> bool {
    field.hidden && field.name.starts_with(SORT_FIELD)
}

/// The output column that an element of ORDER BY names or counts.
fn output(ast: &Ast, fields: &[Field]) -> Result<Option<usize>> {
    match ast {
        Ast::Nested(inner) => output(inner, fields),
        Ast::Value(value) => match &value.value {
            Value::Number(text, false) => {
                let number: Option<usize> = text.parse().ok();
                let visible = fields.iter().filter(|field| !field.hidden).count();
                let index = number.and_then(|number| number.checked_sub(1));
                match index.filter(|index| *index < visible) {
                    Some(index) => Ok(Some(index)),
                    None => Err(Error::validation("ordinal out of range").with_span(place(ast))),
                }
            }
            _ => Ok(None),
        },
        Ast::Identifier(ident) => find_field(fields, None, ident),
        _ => Ok(None),
    }
}

impl QueryBinder<'_> {
    /// Adds hidden columns for what a SELECT is ordered by.
    pub(super) fn order_fields(
        &mut self,
        order: &[OrderByExpr],
        (scope, mut grouping): (&[Field], Option<&mut Grouping>),
        fields: &mut Vec<Field>,
    ) -> Result<()> {
        let shown = fields.len();
        for (index, by) in order.iter().enumerate() {
            let expr = if let Some(index) = output(&by.expr, &fields[..shown])? {
                fields[index].expr.clone()
            } else {
                let mut binder = ExprBinder {
                    grouping: grouping.as_deref_mut(),
                    ..ExprBinder::within(scope, self)
                };
                binder.bind(&by.expr)?
            };
            fields.push(sort_field(index, expr));
        }
        Ok(())
    }

    /// Adds hidden columns for what rows are ordered by that only have their own columns.
    pub(super) fn order_output(
        &mut self,
        mut relation: Relation,
        order: &[OrderByExpr],
    ) -> Result<Relation> {
        let fields = relation.fields.clone();
        for (index, by) in order.iter().enumerate() {
            let expr = match output(&by.expr, &fields)? {
                Some(index) => fields[index].expr.clone(),
                None => ExprBinder::within(&fields, self).bind(&by.expr)?,
            };
            relation.fields.push(sort_field(index, expr));
        }
        Ok(relation)
    }

    /// Sorts and limits rows whose order is in hidden columns.
    pub(super) fn sort(&mut self, relation: Relation, ordering: &Ordering<'_>) -> Result<Relation> {
        if ordering.keys.is_empty() && ordering.fetch.is_none() && ordering.offset == 0 {
            return Ok(relation);
        }
        self.sorted(relation, ordering)
    }

    /// Adds the node that sorts or limits.
    fn sorted(&mut self, mut relation: Relation, ordering: &Ordering<'_>) -> Result<Relation> {
        let (hidden, shown): (Vec<Field>, Vec<Field>) =
            relation.fields.into_iter().partition(is_sort_field);
        relation.fields = shown;
        if relation
            .fields
            .iter()
            .any(|field| field.expr.is_correlated())
        {
            relation.refuse_correlated("ORDER BY and LIMIT")?;
        }
        let partition = equal_sides(&relation.correlated)?;
        let mut exprs: Vec<Expr> = hidden.iter().map(|field| field.expr.clone()).collect();
        let count = exprs.len();
        exprs.extend(partition);
        let mut relation = self.builder.settle(relation);
        let (extended, places) = self.builder.extend(relation, &exprs);
        relation = extended;
        let mut order: Vec<SortField> = Vec::with_capacity(count);
        for (by, column) in ordering.keys.iter().zip(&places) {
            let key = order_key(by, Expr::column(*column, TypeKind::Null.nullable()))?;
            order.push(SortField {
                column: *column,
                descending: key.descending,
                nulls_last: key.nulls_last,
            });
        }
        if relation.correlated.is_empty() {
            self.sort_node(&mut relation, order, ordering)?;
        } else {
            self.rank_node(&mut relation, order, (places[count..].to_vec(), ordering))?;
        }
        Ok(relation)
    }

    /// Sorts or limits all rows together.
    fn sort_node(
        &mut self,
        relation: &mut Relation,
        order: Vec<SortField>,
        ordering: &Ordering<'_>,
    ) -> Result<()> {
        relation.base = self.snapshot(relation.base);
        let base = self.builder.node(relation.base);
        let traits = self.builder.traits_of(relation.base).clone();
        let first = order.first().filter(|field| !field.descending);
        let domain = first.and_then(|field| traits.domain(field.column));
        let by_time = domain.is_some();
        let sort = Sort {
            order,
            offset: ordering.offset,
            fetch: ordering.fetch,
            domain,
        };
        let is_limited = sort.fetch.is_some() || sort.offset > 0;
        if !self.ends(relation.base) {
            check_unbounded(&sort)?;
        }
        // The first rows of a snapshot are known at its end, and then put in order.
        let whole = Sort {
            offset: 0,
            fetch: None,
            ..sort.clone()
        };
        let is_sorted_again = self.is_snapshot() && is_limited && !sort.order.is_empty();
        let keeps_order = base.changelog == ChangelogMode::Append && !is_limited;
        let mut all = Traits {
            window: None,
            ..traits
        };
        if sort.fetch == Some(1) {
            all.keys.insert(0, Vec::new());
        }
        let changelog =
            if keeps_order || (sort.order.is_empty() && base.changelog == ChangelogMode::Append) {
                ChangelogMode::Append
            } else {
                ChangelogMode::Retract
            };
        let draft = Draft {
            inputs: vec![Input {
                node: relation.base,
                exchange: Exchange::Single,
            }],
            schema: base.schema.clone(),
            changelog,
            traits: all,
            operator: match (sort.order.is_empty(), is_limited, by_time) {
                (true, ..) => Operator::Limit(sort),
                (false, true, _) => Operator::SortLimit(sort),
                (false, false, true) => Operator::TemporalSort(sort),
                (false, false, false) => Operator::Sort(sort),
            },
        };
        relation.base = self.builder.add(draft);
        if is_sorted_again {
            let first = self.snapshot(relation.base);
            let draft = Draft {
                inputs: vec![Input {
                    node: first,
                    exchange: Exchange::Single,
                }],
                schema: self.builder.node(first).schema.clone(),
                changelog: ChangelogMode::Append,
                traits: Traits::default(),
                operator: Operator::Sort(whole),
            };
            relation.base = self.builder.add(draft);
        }
        Ok(())
    }

    /// Whether the rows of a node end by themselves.
    fn ends(&self, node: NodeId) -> bool {
        let mut open = vec![node];
        let mut is_bounded = true;
        while let Some(id) = open.pop() {
            let node = self.builder.node(id);
            if let Operator::TableSourceScan(scan) = &node.operator {
                is_bounded &= table_is_bounded(&scan.table);
            }
            open.extend(node.inputs.iter().map(|input| input.node));
        }
        is_bounded || self.is_snapshot()
    }

    /// Sorts and limits the rows for each row of the query around.
    ///
    /// # Source
    /// Flink: `CorrelateSortToRankRule`.
    fn rank_node(
        &mut self,
        relation: &mut Relation,
        order: Vec<SortField>,
        (partition, ordering): (Vec<usize>, &Ordering<'_>),
    ) -> Result<()> {
        let Some(fetch) = ordering.fetch else {
            // Without a limit the order of the rows of a sub-query does not matter.
            return if ordering.offset == 0 {
                Ok(())
            } else {
                Err(Error::unsupported(
                    "OFFSET without a limit in such a sub-query",
                ))
            };
        };
        let bounded = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let start = bounded(ordering.offset).saturating_add(1);
        let base = self.builder.node(relation.base);
        let mut schema = base.schema.clone();
        schema.push(Column {
            name: "w0$o0".to_owned(),
            ty: TypeKind::BigInt.not_null(),
        });
        let end = bounded(ordering.offset).saturating_add(bounded(fetch));
        let mut traits = Traits {
            window: None,
            ..self.builder.traits_of(relation.base).clone()
        };
        let mut key = partition.clone();
        if (start, end) != (1, 1) {
            key.push(schema.len() - 1);
        }
        traits.keys.insert(0, key);
        let draft = Draft {
            inputs: vec![Input {
                node: relation.base,
                exchange: exchange(&partition),
            }],
            schema,
            changelog: ChangelogMode::Retract,
            traits,
            operator: Operator::Rank(Rank {
                function: RankFunction::RowNumber,
                partition,
                order,
                range: RankRange::Constant { start, end },
                has_number: true,
            }),
        };
        relation.base = self.builder.add(draft);
        Ok(())
    }
}

/// Refuses what needs all rows where they never end.
///
/// # Source
/// Flink 2.3: `StreamExecSort`, `StreamExecSortLimit` and `StreamExecLimit` in streams, with these words.
fn check_unbounded(sort: &Sort) -> Result<()> {
    if sort.fetch.is_none() && sort.offset > 0 {
        return Err(Error::unsupported(
            "FETCH is missed, which on streaming table is not supported currently: add LIMIT",
        ));
    }
    if sort.fetch.is_none() && !sort.order.is_empty() && sort.domain.is_none() {
        return Err(Error::unsupported(
            "sort on a non-time-attribute field is not supported: add LIMIT, or order by a time attribute first, ascending",
        ));
    }
    Ok(())
}

/// A hidden column to order by.
fn sort_field(index: usize, expr: Expr) -> Field {
    // A constant orders nothing, but keeps its place.
    let expr = match expr.kind {
        ExprKind::Literal(Literal::Null) => Expr::literal(Literal::Null, TypeKind::Int.nullable()),
        _ => expr,
    };
    Field {
        name: format!("{SORT_FIELD}{index}"),
        qualifier: None,
        expr,
        hidden: true,
        using: Using::No,
    }
}
