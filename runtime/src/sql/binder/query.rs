//! Queries: WITH, SELECT, VALUES and UNION.
//!
//! Place in the flow: calls the binders of the clauses in the order in which SQL evaluates them. Invariant: every part of
//! sqlparser's trees is either bound or refused.

use std::ops::ControlFlow;
use std::rc::Rc;

use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, Query as AstQuery, Select, SelectFlavor, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Spanned, Values, visit_expressions,
};

use super::aggregate::{Grouping, is_aggregate};
use super::expression::{ExprBinder, place};
use super::from::rename;
use super::join::FromScope;
use super::literal;
use super::relation::{Draft, Field, PlanBuilder, Relation, forward};
use super::select_items::{Items, uniquify};
use crate::error::{Error, Result, Span};
use crate::plan::{ChangelogMode, Column, Operator};
use crate::sql::ast::{Query, StatementKind, TableHint};
use crate::sql::catalog::Catalog;
use crate::sql::expr::{Expr, Literal};
use crate::sql::parser::{parse, tokens::span_of};
use crate::sql::session::Session;
use crate::sql::typing::{common_type, implicit_cast};
use crate::types::{FlinkType, TypeKind};

/// A common table expression in scope.
#[derive(Debug, Clone)]
struct CommonTable {
    /// Its name.
    name: String,
    /// Column names, empty when the query's own are used.
    columns: Vec<String>,
    /// Its query.
    query: Rc<AstQuery>,
}

/// Binds the queries of one statement into one plan.
pub(super) struct QueryBinder<'a> {
    /// Where names are looked up.
    pub(super) catalog: &'a dyn Catalog,
    /// Properties.
    pub(super) session: &'a Session,
    /// The plan so far.
    pub(super) builder: PlanBuilder,
    /// Views above the present query.
    pub(super) view_depth: usize,
    /// Hints that no table has taken yet.
    hints: Vec<TableHint>,
    /// Common table expressions in scope, the innermost last.
    common_tables: Vec<CommonTable>,
}

impl<'a> QueryBinder<'a> {
    /// A binder without nodes.
    pub(super) fn new(catalog: &'a dyn Catalog, session: &'a Session) -> Self {
        Self {
            catalog,
            session,
            builder: PlanBuilder::default(),
            view_depth: 0,
            hints: Vec::new(),
            common_tables: Vec::new(),
        }
    }

    /// Binds a statement's query.
    ///
    /// # Errors
    /// `Invalid` and `Unsupported` with the place in the text.
    pub(super) fn bind(&mut self, query: &Query) -> Result<Relation> {
        self.hints.clone_from(&query.hints);
        let relation = self.query(&query.body)?;
        match self.hints.first() {
            None => Ok(relation),
            Some(hint) => {
                Err(Error::syntax("a hint follows the name of a table").with_span(hint.span))
            }
        }
    }

    /// The hint behind a table's name.
    pub(super) fn take_hint(&mut self, name: Span) -> Option<TableHint> {
        let end = (name.end_line, name.end_column);
        let index = self.hints.iter().position(|hint| hint.after == end)?;
        Some(self.hints.remove(index))
    }

    /// Binds a view's text.
    pub(super) fn view_query(&mut self, text: &str) -> Result<Relation> {
        let statements = parse(text)?;
        let [statement] = statements.as_slice() else {
            return Err(Error::syntax("a view is one query"));
        };
        let StatementKind::Query(query) = &statement.kind else {
            return Err(Error::syntax("a view is a query"));
        };
        let mut inner = QueryBinder {
            builder: std::mem::take(&mut self.builder),
            view_depth: self.view_depth + 1,
            ..QueryBinder::new(self.catalog, self.session)
        };
        let bound = inner.bind(query);
        self.builder = inner.builder;
        bound
    }

    /// Binds a common table expression by name.
    pub(super) fn common_table(&mut self, name: &str) -> Result<Option<Relation>> {
        let Some(index) = self
            .common_tables
            .iter()
            .rposition(|table| table.name == name)
        else {
            return Ok(None);
        };
        let table = self.common_tables[index].clone();
        // The query sees what was defined before it.
        let later = self.common_tables.split_off(index);
        let bound = self.subquery(&table.query);
        self.common_tables.extend(later);
        let mut relation = bound?;
        if !table.columns.is_empty() {
            rename(&mut relation, &table.columns)?;
        }
        for field in &mut relation.fields {
            field.qualifier = Some(table.name.clone());
        }
        Ok(Some(relation))
    }

    /// Binds a query.
    pub(super) fn query(&mut self, query: &AstQuery) -> Result<Relation> {
        let refused = [
            (query.order_by.is_some(), "ORDER BY"),
            (query.limit_clause.is_some(), "LIMIT and OFFSET"),
            (query.fetch.is_some(), "FETCH"),
            (
                !query.locks.is_empty() || query.for_clause.is_some(),
                "FOR UPDATE",
            ),
            (
                query.settings.is_some() || query.format_clause.is_some(),
                "SETTINGS and FORMAT",
            ),
            (!query.pipe_operators.is_empty(), "pipe operators"),
        ];
        if let Some((_, what)) = refused.iter().find(|(is_there, _)| *is_there) {
            return Err(Error::unsupported(*what).with_span(span_of(query.span())));
        }
        let outer = self.common_tables.len();
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(Error::unsupported("WITH RECURSIVE").with_span(span_of(with.span())));
            }
            for table in &with.cte_tables {
                self.common_tables.push(CommonTable {
                    name: table.alias.name.value.clone(),
                    columns: table
                        .alias
                        .columns
                        .iter()
                        .map(|column| column.name.value.clone())
                        .collect(),
                    query: Rc::new(AstQuery::clone(&table.query)),
                });
            }
        }
        let bound = self.set_expr(&query.body);
        self.common_tables.truncate(outer);
        bound
    }

    /// Binds the body of a query.
    fn set_expr(&mut self, body: &SetExpr) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { .. } => self.set_operations(body),
            _ => Err(Error::unsupported("this kind of query").with_span(span_of(body.span()))),
        }
    }

    /// Binds a chain of UNIONs from the left.
    fn set_operations(&mut self, body: &SetExpr) -> Result<Relation> {
        let mut links = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = first
        {
            let span = span_of(right.span());
            if *op != SetOperator::Union {
                return Err(Error::unsupported(op.to_string()).with_span(span));
            }
            let is_all = match set_quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(Error::unsupported("UNION BY NAME").with_span(span)),
            };
            links.push((is_all, &**right, span));
            first = left;
        }
        let mut branches = vec![self.set_expr(first)?];
        let mut links = links.into_iter().rev().peekable();
        while let Some((is_all, right, span)) = links.next() {
            branches.push(self.set_expr(right)?);
            let next_is_all = links.peek().map(|(next, ..)| *next);
            if is_all && next_is_all == Some(true) {
                continue;
            }
            let union = self
                .union(std::mem::take(&mut branches))
                .map_err(|error| error.with_span(span))?;
            branches.push(if is_all {
                union
            } else {
                self.builder.distinct(union)
            });
        }
        branches
            .pop()
            .ok_or_else(|| Error::internal("an empty UNION"))
    }

    /// Puts the rows of several relations behind one another.
    fn union(&mut self, branches: Vec<Relation>) -> Result<Relation> {
        let visible = |relation: &Relation| -> Vec<Field> {
            relation
                .fields
                .iter()
                .filter(|field| !field.hidden)
                .cloned()
                .collect()
        };
        let columns: Vec<Vec<Field>> = branches.iter().map(visible).collect();
        let names: Vec<String> = columns[0].iter().map(|field| field.name.clone()).collect();
        if columns.iter().any(|fields| fields.len() != names.len()) {
            return Err(Error::validation(
                "the queries of a UNION have different numbers of columns",
            ));
        }
        let mut types = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let all: Vec<&FlinkType> = columns
                .iter()
                .map(|fields| &fields[index].expr.ty)
                .collect();
            let common = common_type(&all).ok_or_else(|| {
                let listed: Vec<String> = all.iter().map(ToString::to_string).collect();
                Error::type_mismatch(format!(
                    "column \"{name}\" of a UNION has no common type: {}",
                    listed.join(", ")
                ))
            })?;
            types.push(common);
        }
        let mut inputs = Vec::with_capacity(branches.len());
        for (mut relation, fields) in branches.into_iter().zip(columns) {
            relation.fields = fields;
            for (field, ty) in relation.fields.iter_mut().zip(&types) {
                field.expr = implicit_cast(field.expr.clone(), ty)?;
            }
            inputs.push(forward(self.builder.materialize(relation)));
        }
        let nodes: Vec<_> = inputs
            .iter()
            .map(|input| self.builder.node(input.node))
            .collect();
        let is_append = nodes
            .iter()
            .all(|node| node.changelog == ChangelogMode::Append);
        let rowtime = nodes[0]
            .rowtime
            .filter(|_| nodes.iter().all(|node| node.rowtime == nodes[0].rowtime));
        let schema = names
            .into_iter()
            .zip(types)
            .map(|(name, ty)| Column { name, ty })
            .collect();
        let node = self.builder.add(Draft {
            operator: Operator::Union,
            inputs,
            schema,
            changelog: if is_append {
                ChangelogMode::Append
            } else {
                ChangelogMode::Retract
            },
            upsert_key: None,
            rowtime,
        });
        Ok(self.builder.relation(node))
    }

    /// Binds constant rows.
    fn values(&mut self, values: &Values) -> Result<Relation> {
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row: Vec<Expr> = row
                .content
                .iter()
                .map(|ast| ExprBinder::new(&[]).bind(ast))
                .collect::<Result<_>>()?;
            rows.push(row);
        }
        let width = rows.first().map_or(0, Vec::len);
        if let Some(index) = rows.iter().position(|row| row.len() != width) {
            let span = values.rows[index]
                .content
                .first()
                .map_or_else(Span::default, place);
            return Err(
                Error::validation("the rows of VALUES have different numbers of columns")
                    .with_span(span),
            );
        }
        for column in 0..width {
            let types: Vec<&FlinkType> = rows.iter().map(|row| &row[column].ty).collect();
            let ty = common_type(&types).ok_or_else(|| {
                let span = rows
                    .iter()
                    .fold(Span::default(), |span, row| span.union(row[column].span));
                Error::type_mismatch(format!(
                    "column {} of VALUES has no common type",
                    column + 1
                ))
                .with_span(span)
            })?;
            for row in &mut rows {
                let cast = implicit_cast(row[column].clone(), &ty)?;
                row[column] = cast;
            }
        }
        Ok(self.constant_rows(rows))
    }

    /// Adds constant rows; a column is nullable when one of its values may be NULL.
    fn constant_rows(&mut self, rows: Vec<Vec<Expr>>) -> Relation {
        let width = rows.first().map_or(0, Vec::len);
        let column = |index: usize| Column {
            name: format!("EXPR${index}"),
            ty: rows[0][index]
                .ty
                .with_nullable(rows.iter().any(|row| row[index].ty.nullable)),
        };
        let schema: Vec<Column> = (0..width).map(column).collect();
        let node = self.builder.add(Draft {
            operator: Operator::Values { rows },
            inputs: Vec::new(),
            schema,
            changelog: ChangelogMode::Append,
            upsert_key: None,
            rowtime: None,
        });
        self.builder.relation(node)
    }

    /// Binds a SELECT.
    fn select(&mut self, select: &Select) -> Result<Relation> {
        let span = span_of(select.select_token.0.span);
        refuse_foreign_clauses(select).map_err(|error| error.with_span(span))?;
        let scope = if select.from.is_empty() {
            let zero = literal::constant(Literal::Integer(0), TypeKind::Int);
            let mut one_row = self.constant_rows(vec![vec![zero]]);
            // The only column is no column of the query.
            one_row.fields.clear();
            FromScope::single(one_row)
        } else {
            self.from(&select.from)?
        };
        let selection = select
            .selection
            .as_ref()
            .map(|selection| ExprBinder::new(&scope.fields).bind_condition(selection, "WHERE"));
        let relation = self.join(scope, selection.transpose()?)?;
        let keys = group_keys(&select.group_by)?;
        let is_grouped = keys.is_some()
            || select.having.is_some()
            || select.projection.iter().any(contains_aggregate);
        let mut result = if is_grouped {
            self.grouped_select(select, relation, &keys.unwrap_or_default())?
        } else {
            let fields = Items::new(&relation.fields, None).bind(&select.projection)?;
            Relation { fields, ..relation }
        };
        uniquify(&mut result.fields);
        match &select.distinct {
            None | Some(Distinct::All) => Ok(result),
            Some(Distinct::Distinct) => Ok(self.builder.distinct(result)),
            Some(Distinct::On(_)) => {
                Err(Error::syntax("Flink SQL has no DISTINCT ON").with_span(span))
            }
        }
    }

    /// Binds a SELECT with groups.
    fn grouped_select(
        &mut self,
        select: &Select,
        relation: Relation,
        keys: &[&Ast],
    ) -> Result<Relation> {
        let keys: Vec<Expr> = keys
            .iter()
            .map(|key| ExprBinder::new(&relation.fields).bind(key))
            .collect::<Result<_>>()?;
        let mut grouping = Grouping::new(&keys);
        let fields = Items::new(&relation.fields, Some(&mut grouping)).bind(&select.projection)?;
        let having = match &select.having {
            None => None,
            Some(having) => {
                let mut binder = ExprBinder {
                    grouping: Some(&mut grouping),
                    ..ExprBinder::new(&relation.fields)
                };
                Some(binder.bind_condition(having, "HAVING")?)
            }
        };
        let aggregated = self
            .builder
            .aggregate(relation, &grouping)
            .map_err(|error| error.with_span(span_of(select.select_token.0.span)))?;
        let column = |index: usize| {
            aggregated
                .fields
                .get(index)
                .and_then(|field| field.expr.as_column())
                .unwrap_or(index)
        };
        let fields = fields
            .into_iter()
            .map(|field| Field {
                expr: field.expr.map_columns(&column),
                ..field
            })
            .collect();
        Ok(Relation {
            condition: having.map(|having| having.map_columns(&column)),
            fields,
            ..aggregated
        })
    }
}

/// Whether an item has an aggregate in it.
fn contains_aggregate(item: &SelectItem) -> bool {
    let found = visit_expressions(item, |ast| match ast {
        Ast::Function(function) if is_aggregate(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The expressions of GROUP BY; absent without the clause.
fn group_keys(group_by: &GroupByExpr) -> Result<Option<Vec<&Ast>>> {
    let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
        return Err(Error::syntax("Flink SQL has no GROUP BY ALL"));
    };
    if !modifiers.is_empty() {
        return Err(Error::syntax("Flink SQL has no modifiers of GROUP BY"));
    }
    if exprs.is_empty() {
        return Ok(None);
    }
    let mut keys = Vec::with_capacity(exprs.len());
    for ast in exprs {
        match ast {
            Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => {
                return Err(
                    Error::unsupported("GROUPING SETS, CUBE and ROLLUP").with_span(place(ast))
                );
            }
            Ast::Tuple(items) => keys.extend(items),
            ast => keys.push(ast),
        }
    }
    Ok(Some(keys))
}

/// Refuses clauses of other dialects, and of Flink when Weir does not have them.
fn refuse_foreign_clauses(select: &Select) -> Result<()> {
    let later = [
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
    ];
    if let Some((_, what)) = later.iter().find(|(is_there, _)| *is_there) {
        return Err(Error::unsupported(*what));
    }
    let is_foreign = !select.optimizer_hints.is_empty()
        || select.select_modifiers.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || select.into.is_some()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.value_table_mode.is_some()
        || select.flavor != SelectFlavor::Standard;
    if is_foreign {
        return Err(Error::syntax("a clause of another SQL dialect"));
    }
    Ok(())
}
