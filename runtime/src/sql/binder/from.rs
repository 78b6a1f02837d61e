//! The items of FROM: tables, views, sub-queries and window functions.
//!
//! Place in the flow: the first clause of a query that is bound; `join.rs` puts several items together. Invariant: a clause of another dialect or of Flink that
//! Weir does not have is refused, never skipped.

use sqlparser::ast::{
    Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query as AstQuery, Spanned, TableAlias, TableFactor,
};

use super::call::{function_name, positional};
use super::expression::{ExprBinder, place};
use super::names::{self, Object};
use super::options;
use super::query::QueryBinder;
use super::relation::{
    Field, Relation, Using, WINDOW_COLUMNS, is_trivial, is_volatile, window_types,
};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{ChangelogMode, Window, WindowKind};
use crate::sql::ast::{Ident as NameIdent, Name};
use crate::sql::catalog::{TableDef, ViewDef};
use crate::sql::dialect::TABLE_ARGUMENT;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::parser::tokens::span_of;

/// How deeply views may use views.
///
/// # Source
/// A guess, unmeasured; it ends views that use themselves.
const VIEW_DEPTH_MAX: usize = 16;

/// The arguments of a window function by role.
#[derive(Debug, Default)]
struct WindowArguments<'a> {
    /// The rows.
    data: Option<&'a Ast>,
    /// `DESCRIPTOR(column)`.
    time: Option<&'a Ast>,
    /// Length.
    size: Option<&'a Ast>,
    /// Shift.
    offset: Option<&'a Ast>,
}

impl QueryBinder<'_> {
    /// Binds one item of FROM.
    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<Relation> {
        let span = span_of(factor.span());
        let bound = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } => {
                if version.is_some() {
                    return Err(Error::unsupported("FOR SYSTEM_TIME AS OF").with_span(span));
                }
                if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
                    return Err(Error::syntax("Flink SQL has no such clause behind a table")
                        .with_span(span));
                }
                let relation = self.named(name)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality: false,
                ..
            } => {
                let relation = self.window_function(name, &args.args, span)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let relation = self.subquery(subquery)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::TableFunction {
                expr: Ast::Function(function),
                alias,
            } => {
                let relation = self.table_function(function, span)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::Derived { lateral: true, .. } | TableFactor::Function { .. } => {
                Err(Error::unsupported("LATERAL"))
            }
            TableFactor::UNNEST { .. } => Err(Error::unsupported("UNNEST")),
            TableFactor::MatchRecognize { .. } => Err(Error::unsupported("MATCH_RECOGNIZE")),
            _ => Err(Error::unsupported(format!("FROM {factor}"))),
        };
        bound.map_err(|error| error.with_span(span))
    }

    /// Binds a sub-query so that expressions over it may use its columns several times.
    pub(super) fn subquery(&mut self, query: &AstQuery) -> Result<Relation> {
        let relation = self.query(query)?;
        Ok(self.settle(relation))
    }

    /// Makes a node of a relation whose columns must not be computed more than once.
    fn settle(&mut self, relation: Relation) -> Relation {
        let keep = relation.fields.iter().all(|field| {
            is_trivial(&field.expr) || (relation.window.is_some() && !is_volatile(&field.expr))
        });
        let is_volatile_condition = relation.condition.as_ref().is_some_and(is_volatile);
        if keep && !is_volatile_condition {
            return relation;
        }
        let names: Vec<(String, bool)> = relation
            .fields
            .iter()
            .map(|field| (field.name.clone(), field.hidden))
            .collect();
        let node = self.builder.materialize(relation);
        let mut settled = self.builder.relation(node);
        for (field, (name, hidden)) in settled.fields.iter_mut().zip(names) {
            field.name = name;
            field.hidden = hidden;
        }
        settled
    }

    /// Binds a table, view or common table expression by name.
    fn named(&mut self, name: &ObjectName) -> Result<Relation> {
        let name = plain_name(name)?;
        if let [only] = name.parts.as_slice()
            && let Some(relation) = self.common_table(&only.value)?
        {
            return Ok(relation);
        }
        if let Some(relation) = self.information_schema(&name)? {
            return Ok(relation);
        }
        let hint = self.take_hint(name.span());
        match names::object(&name, self.catalog, self.session)? {
            Object::Table(table) => {
                let table = match hint {
                    Some(hint) => with_hint(&table, &hint.options)
                        .map_err(|error| error.with_span(hint.span))?,
                    None => TableDef::clone(&table),
                };
                self.builder
                    .scan(&table)
                    .map_err(|error| error.with_span(name.span()))
            }
            Object::View(view) => match hint {
                Some(hint) => Err(Error::unsupported("OPTIONS of a view").with_span(hint.span)),
                None => self.view(&view, name.span()),
            },
        }
    }

    /// Binds a view's query.
    fn view(&mut self, view: &ViewDef, span: Span) -> Result<Relation> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Error::validation(format!(
                "views nest deeper than {VIEW_DEPTH_MAX} levels"
            ))
            .with_span(span));
        }
        let context = |error: Error| {
            let error = error.context(&format!("view {}", view.name));
            Error { span, ..error }
        };
        let relation = self.view_query(&view.query).map_err(context)?;
        let mut relation = self.settle(relation);
        relation.fields.retain(|field| !field.hidden);
        if !view.columns.is_empty() {
            rename(&mut relation, &view.columns).map_err(context)?;
        }
        for field in &mut relation.fields {
            field.qualifier = Some(view.name.name.clone());
        }
        Ok(relation)
    }

    /// Binds `TABLE(function(...))`.
    fn table_function(&mut self, function: &Function, span: Span) -> Result<Relation> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(Error::syntax("a table function takes arguments"));
        };
        self.window_function(&function.name, &list.args, span)
    }

    /// Binds a call of a window function.
    fn window_function(
        &mut self,
        name: &ObjectName,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Relation> {
        let name = function_name(name)?;
        match name.as_str() {
            "TUMBLE" => {}
            "HOP" | "CUMULATE" | "SESSION" => {
                return Err(Error::unsupported(format!("the window function {name}")));
            }
            "UNNEST" => return Err(Error::unsupported("UNNEST")),
            _ => {
                let known = ["TUMBLE", "HOP", "CUMULATE", "SESSION"];
                return Err(unknown_name("table function", &name, known));
            }
        }
        let args = window_arguments(args)?;
        let (Some(data), Some(time), Some(size)) = (args.data, args.time, args.size) else {
            return Err(Error::type_mismatch(
                "TUMBLE takes (TABLE data, DESCRIPTOR(timecol), size [, offset])",
            )
            .with_span(span));
        };
        let relation = self.window_data(data)?;
        if self.builder.changelog(&relation) != ChangelogMode::Append {
            return Err(
                Error::unsupported("window functions over an updating input")
                    .with_span(place(data)),
            );
        }
        let size_ms = interval_ms(size)?;
        if size_ms <= 0 {
            return Err(
                Error::validation("the size of a window is longer than 0").with_span(place(size))
            );
        }
        let offset_ms = args.offset.map(interval_ms).transpose()?.unwrap_or(0);
        self.tumble(relation, time, WindowKind::Tumble { size_ms, offset_ms })
    }

    /// Appends the window columns.
    fn tumble(&mut self, mut relation: Relation, time: &Ast, kind: WindowKind) -> Result<Relation> {
        let column = descriptor(time)?;
        let bound = ExprBinder::new(&relation.fields).bind(&Ast::Identifier(column.clone()))?;
        let index = relation
            .fields
            .iter()
            .position(|field| field.name == column.value);
        let is_attribute = index.is_some() && self.builder.rowtime(&relation) == index;
        let Some(time) = bound.as_column().filter(|_| is_attribute) else {
            return Err(Error::validation(format!(
                "the window function requires the timecol is a time attribute type, but \"{}\" is {}: use the column of the table's WATERMARK or `$rowtime`",
                column.value, bound.ty
            ))
            .with_span(span_of(column.span)));
        };
        if relation.window.is_some() {
            let node = self.builder.materialize(relation.clone());
            let inner = self.builder.relation(node);
            let fields = relation.fields.iter().zip(inner.fields);
            relation.fields = fields
                .map(|(old, new)| Field {
                    expr: new.expr,
                    ..old.clone()
                })
                .collect();
            relation.base = node;
            relation.condition = None;
            let time = index.unwrap_or(time);
            return Ok(self.append_window(relation, time, kind));
        }
        Ok(self.append_window(relation, time, kind))
    }

    /// Makes a window function pending.
    fn append_window(&self, mut relation: Relation, time: usize, kind: WindowKind) -> Relation {
        let schema = &self.builder.node(relation.base).schema;
        let types = window_types(&schema[time].ty);
        let width = schema.len();
        for (index, (name, ty)) in WINDOW_COLUMNS.iter().zip(types).enumerate() {
            relation.fields.push(Field {
                name: (*name).to_owned(),
                qualifier: None,
                expr: Expr::column(width + index, ty),
                hidden: false,
                using: Using::No,
            });
        }
        relation.window = Some(Window {
            time,
            kind,
            time_zone: self.session.local_time_zone().to_owned(),
        });
        relation
    }

    /// Binds the rows of a window function: `TABLE t`, `TABLE (query)` or `(query)`.
    fn window_data(&mut self, ast: &Ast) -> Result<Relation> {
        let span = place(ast);
        let inner = match ast {
            Ast::Function(function) if function_name(&function.name)? == TABLE_ARGUMENT => {
                match positional(function)?.as_slice() {
                    [inner] => *inner,
                    _ => return Err(Error::internal("TABLE without a table")),
                }
            }
            other => other,
        };
        match inner {
            Ast::CompoundIdentifier(idents) => {
                let parts = idents.iter().cloned().map(ObjectNamePart::Identifier);
                self.named(&ObjectName(parts.collect()))
            }
            Ast::Subquery(query) => self.subquery(query),
            Ast::Nested(inner) => self.window_data(inner),
            _ => Err(Error::type_mismatch(
                "the first argument of a window function is TABLE name or a query",
            )
            .with_span(span)),
        }
    }
}

/// A name without functions in it.
fn plain_name(name: &ObjectName) -> Result<Name> {
    let parts: Option<Vec<NameIdent>> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(NameIdent {
                value: ident.value.clone(),
                span: span_of(ident.span),
            }),
            ObjectNamePart::Function(_) => None,
        })
        .collect();
    match parts {
        Some(parts) if (1..=3).contains(&parts.len()) => Ok(Name { parts }),
        _ => {
            Err(Error::syntax("a table is named catalog.database.name")
                .with_span(span_of(name.span())))
        }
    }
}

/// A table with the options of a hint.
fn with_hint(
    table: &TableDef,
    hint: &std::collections::BTreeMap<String, String>,
) -> Result<TableDef> {
    let mut table = table.clone();
    let connector = options::connector(&table.options).to_owned();
    for (key, value) in hint {
        if key == "connector" {
            return Err(Error::option("a hint cannot change the option 'connector'"));
        }
        options::check(&connector, key, value)?;
        table.options.insert(key.clone(), value.clone());
    }
    Ok(table)
}

/// Gives a relation its alias.
fn alias_relation(mut relation: Relation, alias: Option<&TableAlias>) -> Result<Relation> {
    let Some(alias) = alias else {
        return Ok(relation);
    };
    if alias.at.is_some()
        || alias
            .columns
            .iter()
            .any(|column| column.data_type.is_some())
    {
        return Err(Error::syntax("an alias is written AS name(column, column)")
            .with_span(span_of(alias.name.span)));
    }
    if !alias.columns.is_empty() {
        let names: Vec<String> = alias
            .columns
            .iter()
            .map(|column| column.name.value.clone())
            .collect();
        rename(&mut relation, &names).map_err(|error| error.with_span(span_of(alias.name.span)))?;
    }
    for field in &mut relation.fields {
        field.qualifier = Some(alias.name.value.clone());
    }
    Ok(relation)
}

/// Renames the visible columns.
pub(super) fn rename(relation: &mut Relation, names: &[String]) -> Result<()> {
    let visible = relation.fields.iter().filter(|field| !field.hidden).count();
    if visible != names.len() {
        return Err(Error::validation(format!(
            "{} column names for {visible} columns",
            names.len()
        )));
    }
    relation.fields.retain(|field| !field.hidden);
    for (field, name) in relation.fields.iter_mut().zip(names) {
        field.name.clone_from(name);
    }
    Ok(())
}

/// Sorts the arguments of TUMBLE by position or name.
fn window_arguments(args: &[FunctionArg]) -> Result<WindowArguments<'_>> {
    let mut sorted = WindowArguments::default();
    for (index, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                let name = ["DATA", "TIMECOL", "SIZE", "OFFSET"].get(index).copied();
                (name.unwrap_or_default().to_owned(), value)
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => (name.value.to_uppercase(), value),
            other => {
                return Err(Error::syntax(format!(
                    "{other} is not an argument of TUMBLE"
                )));
            }
        };
        let slot = match name.as_str() {
            "DATA" => &mut sorted.data,
            "TIMECOL" => &mut sorted.time,
            "SIZE" => &mut sorted.size,
            "OFFSET" => &mut sorted.offset,
            "" => {
                return Err(Error::type_mismatch("TUMBLE takes at most 4 arguments")
                    .with_span(place(value)));
            }
            other => {
                let known = ["DATA", "TIMECOL", "SIZE", "OFFSET"];
                return Err(unknown_name("argument", other, known).with_span(place(value)));
            }
        };
        if slot.replace(value).is_some() {
            return Err(
                Error::syntax(format!("argument {name} is written twice")).with_span(place(value))
            );
        }
    }
    Ok(sorted)
}

/// The column of `DESCRIPTOR(column)`.
fn descriptor(ast: &Ast) -> Result<&Ident> {
    if let Ast::Function(function) = ast
        && function_name(&function.name)? == "DESCRIPTOR"
        && let [Ast::Identifier(column)] = positional(function)?.as_slice()
    {
        return Ok(column);
    }
    Err(
        Error::type_mismatch("the time column of a window function is written DESCRIPTOR(column)")
            .with_span(place(ast)),
    )
}

/// Milliseconds of an interval constant.
fn interval_ms(ast: &Ast) -> Result<i64> {
    let bound = ExprBinder::new(&[]).bind(ast)?;
    match bound.kind {
        ExprKind::Literal(Literal::Millis(millis)) => Ok(millis),
        _ => Err(Error::type_mismatch(format!(
            "a window takes an interval of days to seconds, not {}",
            bound.ty
        ))
        .with_span(place(ast))),
    }
}
