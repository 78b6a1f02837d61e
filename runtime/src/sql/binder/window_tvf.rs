//! Table functions in FROM: windows, and functions over whole tables.
//!
//! Place in the flow: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), size))` and its kin become relations. Invariant: a window function
//! stays pending until something needs its rows, so that an aggregation can do without repeating them.

use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Spanned,
};

use super::call::{function_name, positional};
use super::expression::{ExprBinder, place};
use super::query::QueryBinder;
use super::relation::{Field, Relation, Using, WINDOW_COLUMNS, window_types, window_zone};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{TimeDomain, Window, WindowKind};
use crate::sql::dialect::TABLE_ARGUMENT;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::parser::tokens::span_of;

/// Window functions and the names of their arguments in order.
///
/// # Source
/// Flink SQL: windowing table-valued functions.
const WINDOWS: [(&str, &[&str]); 4] = [
    ("TUMBLE", &["DATA", "TIMECOL", "SIZE", "OFFSET"]),
    ("HOP", &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"]),
    ("CUMULATE", &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"]),
    ("SESSION", &["DATA", "TIMECOL", "GAP"]),
];

/// Functions over whole tables and the names of their arguments in order.
///
/// # Source
/// Flink 2.3: built-in process table functions.
const PROCESS: [(&str, &[&str]); 2] = [
    (
        "FROM_CHANGELOG",
        &["INPUT", "OP", "OP_MAPPING", "ON_TIME", "UID"],
    ),
    (
        "TO_CHANGELOG",
        &[
            "INPUT",
            "OP",
            "OP_MAPPING",
            "ON_TIME",
            "UID",
            "PRODUCES_FULL_DELETES",
        ],
    ),
];

/// The rows of a table argument.
#[derive(Debug)]
pub(super) struct Data {
    /// The rows.
    pub(super) relation: Relation,
    /// `PARTITION BY`, as positions of its fields.
    pub(super) partition: Vec<usize>,
}

/// Arguments by name.
pub(super) type Arguments<'a> = Vec<(&'static str, &'a Ast)>;

/// The argument of a name.
pub(super) fn argument<'a>(args: &Arguments<'a>, name: &str) -> Option<&'a Ast> {
    let found = args.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

impl QueryBinder<'_> {
    /// Binds a call of a table function.
    pub(super) fn table_function(
        &mut self,
        name: &ObjectName,
        args: &[FunctionArg],
        span: Span,
    ) -> Result<Relation> {
        let name = function_name(name)?;
        if let Some((name, known)) = WINDOWS.iter().find(|(known, _)| *known == name) {
            let args = arguments(name, known, args)?;
            return self.window_function(name, &args, span);
        }
        if let Some((name, known)) = PROCESS.iter().find(|(known, _)| *known == name) {
            let args = arguments(name, known, args)?;
            return self.process_function(name, &args, span);
        }
        let known = WINDOWS.iter().chain(&PROCESS).map(|(name, _)| *name);
        Err(unknown_name("table function", &name, known.chain(["UNNEST"])).with_span(span))
    }

    /// Binds a call of a window function.
    fn window_function(
        &mut self,
        name: &str,
        args: &Arguments<'_>,
        span: Span,
    ) -> Result<Relation> {
        let (Some(data), Some(time)) = (argument(args, "DATA"), argument(args, "TIMECOL")) else {
            return Err(Error::type_mismatch(usage(name)).with_span(span));
        };
        let kind = window_kind(name, args).map_err(|error| error.with_span(span))?;
        let Data {
            relation,
            partition,
        } = self.table_argument(data)?;
        if !partition.is_empty() && name != "SESSION" {
            return Err(
                Error::validation(format!("{name} takes no PARTITION BY")).with_span(place(data))
            );
        }
        self.windowed(relation, time, (kind, partition))
    }

    /// Appends the window columns.
    fn windowed(
        &mut self,
        mut relation: Relation,
        time: &Ast,
        (kind, partition): (WindowKind, Vec<usize>),
    ) -> Result<Relation> {
        relation.refuse_correlated("a window function")?;
        let column = descriptor(time)?;
        let bound = ExprBinder::new(&relation.fields).bind(&Ast::Identifier(column.clone()))?;
        let index = relation
            .fields
            .iter()
            .position(|field| field.name == column.value);
        let Some(domain) = self.builder.time_domain(&relation, &bound) else {
            return Err(Error::validation(format!(
                "the window function requires the timecol is a time attribute type, but \"{}\" is {}: use the column of the table's WATERMARK or `$rowtime`",
                column.value, bound.ty
            ))
            .with_span(span_of(column.span)));
        };
        self.builder.apply_window(&mut relation);
        let mut exprs = vec![index.map_or(bound, |index| relation.fields[index].expr.clone())];
        exprs.extend(partition.iter().map(|at| relation.fields[*at].expr.clone()));
        let places: Option<Vec<usize>> = exprs.iter().map(Expr::as_column).collect();
        // Rows that a filter leaves out must hold no session together.
        let is_filtered =
            matches!(kind, WindowKind::Session { .. }) && relation.condition.is_some();
        let places = if let Some(places) = places.filter(|_| !is_filtered) {
            places
        } else {
            let (extended, places) = self.builder.extend(relation, &exprs);
            relation = extended;
            places
        };
        Ok(self.append_window(relation, &places, (kind, domain)))
    }

    /// Makes a window function pending; the places are those of the time and of the partition.
    fn append_window(
        &self,
        mut relation: Relation,
        places: &[usize],
        (kind, domain): (WindowKind, TimeDomain),
    ) -> Relation {
        let schema = &self.builder.node(relation.base).schema;
        let types = window_types(&schema[places[0]].ty);
        let width = schema.len();
        for (index, (name, ty)) in WINDOW_COLUMNS.iter().zip(types).enumerate() {
            relation.fields.push(Field {
                name: (*name).to_owned(),
                qualifier: relation.fields.first().and_then(|f| f.qualifier.clone()),
                expr: Expr::column(width + index, ty),
                hidden: false,
                using: Using::No,
            });
        }
        relation.window = Some(Window {
            time: places[0],
            kind,
            time_zone: window_zone(&schema[places[0]].ty, self.session.local_time_zone()),
            partition: places[1..].to_vec(),
            domain,
            attached: None,
        });
        relation
    }

    /// Binds the rows of a table function: `TABLE t [PARTITION BY ...]`, `TABLE (query)` or `(query)`.
    pub(super) fn table_argument(&mut self, ast: &Ast) -> Result<Data> {
        let span = place(ast);
        let (inner, partition) = match ast {
            Ast::Function(function) if function_name(&function.name)? == TABLE_ARGUMENT => {
                match positional(function)?.as_slice() {
                    [inner, partition @ ..] => (*inner, partition.to_vec()),
                    [] => return Err(Error::internal("TABLE without a table")),
                }
            }
            other => (other, Vec::new()),
        };
        let relation = match inner {
            Ast::CompoundIdentifier(idents) => {
                let parts = idents.iter().cloned().map(ObjectNamePart::Identifier);
                self.named(&ObjectName(parts.collect()))?
            }
            Ast::Subquery(query) => self.subquery_relation(query)?,
            Ast::Nested(inner) => self.table_argument(inner)?.relation,
            _ => {
                return Err(Error::type_mismatch(
                    "the first argument of a table function is TABLE name or a query",
                )
                .with_span(span));
            }
        };
        let mut columns = Vec::new();
        for ast in partition {
            let items = match ast {
                Ast::Tuple(items) => items.iter().collect(),
                Ast::Nested(inner) => vec![&**inner],
                ast => vec![ast],
            };
            for item in items {
                let bound = ExprBinder::new(&relation.fields).bind(item)?;
                let found = relation
                    .fields
                    .iter()
                    .position(|f| f.expr.kind == bound.kind);
                columns.push(found.ok_or_else(|| {
                    Error::type_mismatch("PARTITION BY of a table takes its columns")
                        .with_span(place(item))
                })?);
            }
        }
        Ok(Data {
            relation,
            partition: columns,
        })
    }
}

/// How a function is called.
pub(super) fn usage(name: &str) -> String {
    let found = WINDOWS
        .iter()
        .chain(&PROCESS)
        .find(|(known, _)| *known == name);
    let names = found.map_or_else(String::new, |(_, names)| names.join(", "));
    format!("{name} takes ({names})")
}

/// The shape of a window.
fn window_kind(name: &str, args: &Arguments<'_>) -> Result<WindowKind> {
    let length = |key: &str| -> Result<i64> {
        let ast = argument(args, key).ok_or_else(|| Error::type_mismatch(usage(name)))?;
        let millis = interval_ms(ast)?;
        if millis <= 0 {
            return Err(
                Error::validation("the size of a window is longer than 0").with_span(place(ast))
            );
        }
        Ok(millis)
    };
    let offset_ms = argument(args, "OFFSET")
        .map(interval_ms)
        .transpose()?
        .unwrap_or(0);
    Ok(match name {
        "TUMBLE" => {
            let size_ms = length("SIZE")?;
            if offset_ms.saturating_abs() >= size_ms {
                return Err(Error::validation(format!(
                    "TUMBLE table function parameters must satisfy abs(offset) < size, but got size {size_ms} ms and offset {offset_ms} ms"
                )));
            }
            WindowKind::Tumble { size_ms, offset_ms }
        }
        "HOP" => WindowKind::Hop {
            slide_ms: length("SLIDE")?,
            size_ms: length("SIZE")?,
            offset_ms,
        },
        "CUMULATE" => {
            let (step_ms, size_ms) = (length("STEP")?, length("SIZE")?);
            if size_ms % step_ms != 0 {
                return Err(Error::validation(format!(
                    "CUMULATE table function based aggregate requires maxSize must be an integral multiple of step, but got maxSize {size_ms} ms and step {step_ms} ms"
                )));
            }
            WindowKind::Cumulate {
                size_ms,
                step_ms,
                offset_ms,
            }
        }
        _ => WindowKind::Session {
            gap_ms: length("GAP")?,
        },
    })
}

/// Sorts arguments by position or name.
fn arguments<'a>(
    function: &str,
    known: &'static [&'static str],
    args: &'a [FunctionArg],
) -> Result<Arguments<'a>> {
    let mut sorted: Arguments<'a> = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => match known.get(index) {
                Some(name) => (*name, value),
                None => {
                    return Err(Error::type_mismatch(format!(
                        "{function} takes at most {} arguments",
                        known.len()
                    ))
                    .with_span(place(value)));
                }
            },
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let wanted = name.value.to_uppercase();
                match known.iter().find(|known| **known == wanted) {
                    Some(name) => (*name, value),
                    None => {
                        return Err(unknown_name("argument", &wanted, known.iter().copied())
                            .with_span(span_of(name.span)));
                    }
                }
            }
            other => {
                return Err(
                    Error::syntax(format!("{other} is not an argument of {function}"))
                        .with_span(span_of(other.span())),
                );
            }
        };
        if argument(&sorted, name).is_some() {
            return Err(
                Error::syntax(format!("argument {name} is written twice")).with_span(place(value))
            );
        }
        sorted.push((name, value));
    }
    Ok(sorted)
}

/// The column of `DESCRIPTOR(column)`.
pub(super) fn descriptor(ast: &Ast) -> Result<&Ident> {
    if let Ast::Function(function) = ast
        && function_name(&function.name)? == "DESCRIPTOR"
        && let [Ast::Identifier(column)] = positional(function)?.as_slice()
    {
        return Ok(column);
    }
    Err(
        Error::type_mismatch("the column of a table function is written DESCRIPTOR(column)")
            .with_span(place(ast)),
    )
}

/// Milliseconds of an interval constant.
pub(super) fn interval_ms(ast: &Ast) -> Result<i64> {
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
