//! Queries: WITH and SELECT.
//!
//! Place in the flow: calls the binders of the clauses in the order in which SQL evaluates them. Invariant: every part of
//! sqlparser's trees is either bound or refused.

use std::ops::ControlFlow;
use std::rc::Rc;

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr as Ast, GroupByExpr, NamedWindowExpr, Query as AstQuery, Select,
    SelectFlavor, SelectItem, SetExpr, Spanned, Visit, Visitor, WindowSpec,
};

use super::aggregate::{Grouped, Grouping, is_aggregate};
use super::expression::{ExprBinder, is_query, place};
use super::from::rename;
use super::group_window::GroupWindow;
use super::grouping_sets::grouping_sets;
use super::join::FromScope;
use super::literal;
use super::order::Ordering;
use super::relation::{Field, PlanBuilder, Relation};
use super::select_items::{Items, uniquify};
use super::state_ttl::StateTtls;
use super::subquery::{AS_BOUND, Pending, Places, equal_sides, own_side, replace_side};
use crate::error::{Error, Result, Span};
use crate::sql::ast::{Hint, HintKind, Query, StatementKind};
use crate::sql::catalog::Catalog;
use crate::sql::expr::{Expr, Literal};
use crate::sql::parser::{parse, tokens::span_of};
use crate::sql::session::Session;
use crate::types::TypeKind;

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
    /// Hints that nothing has taken yet.
    hints: Vec<Hint>,
    /// Common table expressions in scope, the innermost last.
    common_tables: Vec<CommonTable>,
    /// Columns of the queries around the present one, the innermost last.
    pub(super) outer: Vec<Vec<Field>>,
    /// What stands in the expressions of the present clause until it is bound.
    pub(super) pending: Vec<Pending>,
    /// Windows that the present query has named.
    pub(super) windows: Vec<(String, WindowSpec)>,
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
            outer: Vec::new(),
            pending: Vec::new(),
            windows: Vec::new(),
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
            Some(hint) => Err(Error::syntax(hint.kind.place()).with_span(hint.span)),
        }
    }

    /// The hint of a kind behind a table's name or SELECT.
    pub(super) fn take_hint(&mut self, kind: HintKind, before: Span) -> Option<Hint> {
        let end = (before.end_line, before.end_column);
        let is_here = |hint: &Hint| hint.kind == kind && hint.after == end;
        let index = self.hints.iter().position(is_here)?;
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
        let outer = std::mem::take(&mut self.outer);
        let bound = self.subquery_relation(&table.query);
        self.outer = outer;
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
            return Err(Error::unsupported(*what).with_span(query_place(query)));
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
        let bound = self.ordered_query(query);
        self.common_tables.truncate(outer);
        bound
    }

    /// Binds the body of a query, its order and its limits.
    fn ordered_query(&mut self, query: &AstQuery) -> Result<Relation> {
        let ordering = Ordering::of(query)?;
        let relation = match &*query.body {
            SetExpr::Select(select) => self.select(select, ordering.keys)?,
            body => {
                let relation = self.set_expr(body)?;
                self.order_output(relation, ordering.keys)?
            }
        };
        self.sort(relation, &ordering)
    }

    /// Binds the body of a query.
    pub(super) fn set_expr(&mut self, body: &SetExpr) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, &[]),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { .. } => self.set_operations(body),
            _ => Err(Error::unsupported("this kind of query").with_span(span_of(body.span()))),
        }
    }

    /// Binds a SELECT; what it is ordered by besides its own columns becomes hidden columns.
    fn select(
        &mut self,
        select: &Select,
        order: &[sqlparser::ast::OrderByExpr],
    ) -> Result<Relation> {
        let span = span_of(select.select_token.0.span);
        refuse_foreign_clauses(select).map_err(|error| error.with_span(span))?;
        let windows = named_windows(select)?;
        let windows = std::mem::replace(&mut self.windows, windows);
        let ttls = self.take_hint(HintKind::StateTtl, span);
        let ttls = std::mem::replace(&mut self.builder.state_ttls, StateTtls::of(ttls));
        let pending = std::mem::take(&mut self.pending);
        // Behind DISTINCT there are only the columns that are shown.
        let (inner, outer) = match select.distinct {
            Some(Distinct::Distinct) => (&[][..], order),
            _ => (order, &[][..]),
        };
        let bound = self.select_clauses(select, inner, span);
        self.windows = windows;
        self.builder.state_ttls = ttls;
        self.pending = pending;
        let mut result = bound?;
        uniquify(&mut result.fields);
        match &select.distinct {
            None | Some(Distinct::All) => Ok(result),
            Some(Distinct::Distinct) => {
                let distinct = self.builder.distinct(result);
                self.order_output(distinct, outer)
            }
            Some(Distinct::On(_)) => {
                Err(Error::syntax("Flink SQL has no DISTINCT ON").with_span(span))
            }
        }
    }

    /// Binds the clauses of a SELECT one after the other.
    fn select_clauses(
        &mut self,
        select: &Select,
        order: &[sqlparser::ast::OrderByExpr],
        span: Span,
    ) -> Result<Relation> {
        let scope = if select.from.is_empty() {
            FromScope::single(self.one_row())?
        } else {
            self.from(&select.from)?
        };
        self.builder.state_ttls.check(&scope.fields)?;
        let mut plain = Vec::new();
        let mut with_queries = Vec::new();
        for ast in select.selection.iter().flat_map(conjuncts) {
            if contains_query(ast) {
                with_queries.push(ast);
            } else {
                let mut binder = ExprBinder::within(&scope.fields, self);
                plain.push(binder.bind_condition(ast, "WHERE")?);
            }
        }
        let relation = self.join(scope, plain)?;
        let relation = self.filter_by_queries(relation, &with_queries)?;
        let is_grouped = has_group_by(&select.group_by)?
            || select.having.is_some()
            || select.projection.iter().any(contains_aggregate);
        if is_grouped {
            return self
                .grouped_select(select, order, relation)
                .map_err(|error| error.with_span(span));
        }
        let mut fields = Items::new(&relation.fields, None, self).bind(&select.projection)?;
        self.order_fields(order, (&relation.fields, None), &mut fields)?;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(Relation { fields, ..relation });
        }
        let exprs: Vec<Expr> = fields.iter().map(|field| field.expr.clone()).collect();
        let (relation, exprs) = self.place_pending(relation, pending, &exprs, AS_BOUND)?;
        Ok(with_exprs(relation, fields, exprs))
    }

    /// The rows of a SELECT without FROM: one, without columns.
    pub(super) fn one_row(&mut self) -> Relation {
        let zero = literal::constant(Literal::Integer(0), TypeKind::Int);
        let mut one_row = self.constant_rows(vec![vec![zero]]);
        // The only column is no column of the query.
        one_row.fields.clear();
        one_row
    }

    /// Binds a SELECT with groups.
    fn grouped_select(
        &mut self,
        select: &Select,
        order: &[sqlparser::ast::OrderByExpr],
        mut relation: Relation,
    ) -> Result<Relation> {
        if has_sets(&select.group_by) {
            relation = self.builder.tell_apart(relation);
        }
        let mut grouping = self.grouping(&select.group_by, &relation)?;
        let is_global = grouping.keys.is_empty();
        let correlated = grouped_conditions(&mut relation, &mut grouping)?;
        let mut fields =
            Items::new(&relation.fields, Some(&mut grouping), self).bind(&select.projection)?;
        self.order_fields(order, (&relation.fields, Some(&mut grouping)), &mut fields)?;
        let having = match &select.having {
            None => None,
            Some(having) => {
                let mut binder = ExprBinder {
                    grouping: Some(&mut grouping),
                    ..ExprBinder::within(&relation.fields, self)
                };
                Some(binder.bind_condition(having, "HAVING")?)
            }
        };
        let pending = std::mem::take(&mut self.pending);
        let mut grouped = self.builder.aggregate(relation, grouping)?;
        grouped.relation.correlated = correlated
            .iter()
            .map(|condition| grouped.place(condition))
            .collect::<Result<_>>()?;
        if is_global && !grouped.relation.correlated.is_empty() {
            grouped.relation.zeros = grouped.counts();
        }
        let exprs = fields.iter().map(|field| &field.expr).chain(&having);
        let exprs: Vec<Expr> = exprs.cloned().collect();
        let (relation, mut exprs) = self.place_grouped(&grouped, pending, &exprs)?;
        let having = having.and_then(|_| exprs.pop());
        let mut result = with_exprs(relation, fields, exprs);
        if having.is_some() {
            result.condition = having;
        }
        Ok(result)
    }

    /// Puts expressions of a clause behind GROUP BY over the aggregated relation.
    fn place_grouped(
        &mut self,
        grouped: &Grouped,
        pending: Vec<Pending>,
        exprs: &[Expr],
    ) -> Result<(Relation, Vec<Expr>)> {
        let places = Places {
            clause: &|expr| grouped.place(expr),
            scope: &|expr| grouped.place_key(expr),
        };
        self.place_pending(grouped.relation.clone(), pending, exprs, places)
    }

    /// Binds GROUP BY.
    fn grouping(&mut self, group_by: &GroupByExpr, relation: &Relation) -> Result<Grouping> {
        let GroupByExpr::Expressions(asts, _) = group_by else {
            return Err(Error::syntax("Flink SQL has no GROUP BY ALL"));
        };
        let zone = self.session.local_time_zone().to_owned();
        let mut window = None;
        let mut plain = Vec::new();
        for ast in asts {
            match GroupWindow::bind(ast, &relation.fields, &zone)? {
                None => plain.push(ast),
                Some(_) if window.is_some() => {
                    return Err(Error::validation("GROUP BY has two windows").with_span(place(ast)));
                }
                Some(found) => window = Some(found),
            }
        }
        let mut bind = |ast: &Ast| {
            let bound = ExprBinder::within(&relation.fields, self).bind(ast)?;
            if bound.is_correlated() && !bound.columns().is_empty() {
                return Err(Error::unsupported(
                    "GROUP BY of an expression that reads the query around it",
                )
                .with_span(bound.span));
            }
            Ok(bound)
        };
        let mut grouping = if has_sets(group_by) {
            grouping_sets(&plain, &mut bind)?
        } else {
            let mut keys = Vec::new();
            for ast in plain {
                match ast {
                    Ast::Tuple(items) => {
                        for item in items {
                            keys.push(bind(item)?);
                        }
                    }
                    ast => keys.push(bind(ast)?),
                }
            }
            Grouping::new(&keys)
        };
        if let Some(window) = window {
            grouping = grouping.with_window(window);
        }
        Ok(grouping)
    }
}

/// Whether a GROUP BY has grouping sets.
fn has_sets(group_by: &GroupByExpr) -> bool {
    let is_sets = |ast: &Ast| matches!(ast, Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_));
    matches!(group_by, GroupByExpr::Expressions(asts, _) if asts.iter().any(is_sets))
}

/// Takes the conditions on enclosing queries from a relation that is to be grouped: what they compare becomes keys.
///
/// # Errors
/// `Unsupported` for conditions that are no equalities.
fn grouped_conditions(relation: &mut Relation, grouping: &mut Grouping) -> Result<Vec<Expr>> {
    let correlated = std::mem::take(&mut relation.correlated);
    equal_sides(&correlated)?;
    let mut conditions = Vec::new();
    for condition in correlated {
        let Some(side) = own_side(&condition) else {
            conditions.push(condition);
            continue;
        };
        let key = grouping.add_key(side);
        conditions.push(replace_side(&condition, side, key));
    }
    Ok(conditions)
}

/// Where a query begins, without walking through it.
pub(super) fn query_place(query: &AstQuery) -> Span {
    match &*query.body {
        SetExpr::Select(select) => span_of(select.select_token.0.span),
        SetExpr::Query(inner) => query_place(inner),
        _ => Span::default(),
    }
}

/// Fields with other values.
fn with_exprs(relation: Relation, fields: Vec<Field>, exprs: Vec<Expr>) -> Relation {
    let fields = fields.into_iter().zip(exprs);
    Relation {
        fields: fields
            .map(|(field, expr)| Field { expr, ..field })
            .collect(),
        ..relation
    }
}

/// The parts of a condition between its ANDs.
fn conjuncts(ast: &Ast) -> Vec<&Ast> {
    let mut found = Vec::new();
    let mut open = vec![ast];
    while let Some(ast) = open.pop() {
        match ast {
            Ast::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => open.extend([&**right, &**left]),
            Ast::Nested(inner) => open.push(inner),
            ast => found.push(ast),
        }
    }
    found
}

/// Looks for something in an expression, sub-queries left out.
struct Finder<'a> {
    /// Whether an expression is it.
    matches: &'a dyn Fn(&Ast) -> bool,
    /// Sub-queries around the present place.
    depth: usize,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &AstQuery) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &AstQuery) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
        if self.depth == 0 && (self.matches)(expr) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Whether something is in an expression, sub-queries left out; chains of operators are walked without recursion.
fn contains(ast: &Ast, matches: &dyn Fn(&Ast) -> bool) -> bool {
    let mut first = ast;
    while let Ast::BinaryOp { left, right, .. } = first {
        if contains(right, matches) {
            return true;
        }
        first = left;
    }
    let mut finder = Finder { matches, depth: 0 };
    first.visit(&mut finder).is_break()
}

/// Whether a condition has a sub-query in it.
fn contains_query(ast: &Ast) -> bool {
    contains(ast, &is_query)
}

/// Whether an item has an aggregate in it.
fn contains_aggregate(item: &SelectItem) -> bool {
    let is_call = |ast: &Ast| matches!(ast, Ast::Function(function) if is_aggregate(function));
    match item {
        SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => {
            contains(ast, &is_call)
        }
        _ => false,
    }
}

/// Whether there is a GROUP BY.
fn has_group_by(group_by: &GroupByExpr) -> Result<bool> {
    let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
        return Err(Error::syntax("Flink SQL has no GROUP BY ALL"));
    };
    if !modifiers.is_empty() {
        return Err(Error::syntax("Flink SQL has no modifiers of GROUP BY"));
    }
    Ok(!exprs.is_empty())
}

/// The windows of the clause WINDOW.
fn named_windows(select: &Select) -> Result<Vec<(String, WindowSpec)>> {
    let mut windows: Vec<(String, WindowSpec)> = Vec::new();
    for window in &select.named_window {
        let spec = match &window.1 {
            NamedWindowExpr::WindowSpec(spec) => spec.clone(),
            NamedWindowExpr::NamedWindow(name) => {
                let known = windows.iter().find(|(known, _)| *known == name.value);
                let known = known.map(|(_, spec)| spec.clone());
                known.ok_or_else(|| {
                    Error::unknown(format!("unknown window \"{}\"", name.value))
                        .with_span(span_of(name.span))
                })?
            }
        };
        windows.push((window.0.value.clone(), spec));
    }
    Ok(windows)
}

/// Refuses clauses of other dialects, and of Flink when Weir does not have them.
fn refuse_foreign_clauses(select: &Select) -> Result<()> {
    let later = [
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
