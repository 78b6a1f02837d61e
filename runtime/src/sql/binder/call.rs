//! Function calls, also of the functions that have a grammar of their own.
//!
//! Place in the flow: part of binding expressions. Invariant: a clause in a call that Weir does not know is refused.

use sqlparser::ast::{
    CeilFloorKind, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    JsonPredicateType, ObjectName, ObjectNamePart, TrimWhereField,
};

use super::aggregate::is_aggregate;
use super::expression::{ExprBinder, negate};
use super::literal;
use super::subquery::{Subquery, in_query};
use crate::error::{Error, Result, Span};
use crate::sql::dialect::TABLE_ARGUMENT;
use crate::sql::expr::{Expr, Literal};
use crate::sql::functions::resolve;
use crate::types::TypeKind;

/// Name of the function of the session.
///
/// # Source
/// Flink SQL: auxiliary functions.
pub(super) const CURRENT_DATABASE: &str = "CURRENT_DATABASE";

impl ExprBinder<'_> {
    /// Binds the functions that have a grammar of their own.
    pub(super) fn special(&mut self, ast: &Ast, span: Span) -> Result<Expr> {
        match ast {
            Ast::Extract { field, expr, .. } => {
                let arg = self.bind(expr)?;
                resolve("EXTRACT", vec![unit(&field.to_string()), arg], span)
            }
            Ast::Ceil { expr, field } => self.round("CEIL", expr, field, span),
            Ast::Floor { expr, field } => self.round("FLOOR", expr, field, span),
            Ast::Position { expr, r#in } => self.call("POSITION", &[expr, r#in], span),
            Ast::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let args: Vec<&Ast> = [expr, from]
                    .into_iter()
                    .chain(substring_for)
                    .map(|arg| &**arg)
                    .collect();
                self.call("SUBSTRING", &args, span)
            }
            Ast::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let args: Vec<&Ast> = [expr, overlay_what, overlay_from]
                    .into_iter()
                    .chain(overlay_for)
                    .map(|arg| &**arg)
                    .collect();
                self.call("OVERLAY", &args, span)
            }
            Ast::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters: None,
            } => {
                let value = self.bind(expr)?;
                if trim_where.is_none() && trim_what.is_none() {
                    return resolve("TRIM", vec![value], span);
                }
                let mode = match trim_where {
                    Some(TrimWhereField::Leading) => "LEADING",
                    Some(TrimWhereField::Trailing) => "TRAILING",
                    Some(TrimWhereField::Both) | None => "BOTH",
                };
                let what = trim_what
                    .as_deref()
                    .map(|what| self.bind(what))
                    .transpose()?;
                let what = what.unwrap_or_else(|| literal::word(" "));
                resolve("TRIM", vec![literal::word(mode), what, value], span)
            }
            Ast::Subquery(_)
            | Ast::Exists { .. }
            | Ast::InSubquery { .. }
            | Ast::AnyOp { .. }
            | Ast::AllOp { .. } => self.query_test(ast),
            Ast::AtTimeZone { .. } => Err(Error::unsupported(
                "AT TIME ZONE: CONVERT_TZ(text, from, to) converts between zones, and 'sql.local-time-zone' is the zone of TIMESTAMP_LTZ",
            )),
            Ast::IsJson { .. } => self.is_json(ast, span),
            _ => Err(Error::unsupported(format!("the expression {ast}"))),
        }
    }

    /// Binds `CURRENT_DATABASE()`, which is a constant of the statement.
    fn current_database(&self, args: &[&Ast], span: Span) -> Result<Expr> {
        if !args.is_empty() {
            return Err(Error::type_mismatch(format!(
                "{CURRENT_DATABASE} takes no arguments"
            )));
        }
        let Some(context) = &self.context else {
            return Err(Error::unsupported(format!(
                "{CURRENT_DATABASE} besides in a query: write the name as a string"
            )));
        };
        let database = Literal::String(context.current_database().to_owned());
        Ok(Expr {
            span,
            ..Expr::literal(database, TypeKind::string().not_null())
        })
    }

    /// Binds `IS JSON`.
    fn is_json(&mut self, ast: &Ast, span: Span) -> Result<Expr> {
        match ast {
            Ast::IsJson {
                expr,
                kind,
                unique_keys: None,
                negated,
            } => {
                let name = json_test(kind.as_ref());
                negate(self.call(name, &[expr], span)?, *negated, span)
            }
            _ => Err(Error::syntax("IS JSON has no UNIQUE KEYS")),
        }
    }

    /// Binds a sub-query or a test of one.
    fn query_test(&mut self, ast: &Ast) -> Result<Expr> {
        match ast {
            Ast::Subquery(query) => self.subquery(Subquery::Scalar(query)),
            Ast::Exists { subquery, negated } => self.subquery(Subquery::Exists {
                query: subquery,
                negated: *negated,
            }),
            ast => match in_query(ast) {
                Some((left, query, negated)) => {
                    let operands = self.operands(left)?;
                    self.subquery(Subquery::In {
                        operands,
                        query,
                        negated,
                    })
                }
                None => Err(Error::unsupported(format!("the expression {ast}"))),
            },
        }
    }

    /// The operands of IN: several when they stand in parentheses.
    pub(super) fn operands(&mut self, ast: &Ast) -> Result<Vec<Expr>> {
        match ast {
            Ast::Tuple(items) => items.iter().map(|item| self.bind(item)).collect(),
            Ast::Nested(inner) => self.operands(inner),
            ast => Ok(vec![self.bind(ast)?]),
        }
    }

    /// Hands a sub-query to the query around.
    fn subquery(&mut self, subquery: Subquery<'_>) -> Result<Expr> {
        match &mut self.context {
            Some(context) => context.subquery(subquery, self.fields),
            None => Err(Error::unsupported("a sub-query in this clause")),
        }
    }

    /// Binds `FLOOR` and `CEIL`, of numbers or to a unit.
    fn round(&mut self, name: &str, ast: &Ast, field: &CeilFloorKind, span: Span) -> Result<Expr> {
        let mut args = vec![self.bind(ast)?];
        match field {
            CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) => {}
            CeilFloorKind::DateTimeField(field) => args.push(unit(&field.to_string())),
            CeilFloorKind::Scale(_) => {
                return Err(Error::unsupported(format!("{name} with a scale")));
            }
        }
        resolve(name, args, span)
    }

    /// Binds a function call.
    pub(super) fn function(&mut self, function: &Function, span: Span) -> Result<Expr> {
        let name = function_name(&function.name)?;
        if function.over.is_some() {
            return self.over(function, span);
        }
        if self.is_pattern
            && let Some(bound) = self.pattern_function(function, &name, span)?
        {
            return Ok(bound);
        }
        if is_aggregate(function) {
            return Err(Error::validation(format!(
                "the aggregate {name} is not allowed here; it belongs in SELECT or HAVING"
            )));
        }
        if let Some(message) = reserved(&name) {
            return Err(message);
        }
        if function.filter.is_some()
            || !function.within_group.is_empty()
            || function.null_treatment.is_some()
        {
            return Err(Error::unsupported(format!(
                "FILTER, WITHIN GROUP and NULLS of {name}"
            )));
        }
        let args = positional(function)?;
        if name == CURRENT_DATABASE {
            return self.current_database(&args, span);
        }
        let is_unit = name == "TIMESTAMPADD" || name == "TIMESTAMPDIFF";
        let mut bound = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            match arg {
                Ast::Identifier(ident) if is_unit && index == 0 => bound.push(unit(&ident.value)),
                arg => bound.push(self.bind(arg)?),
            }
        }
        resolve(&name, bound, span)
    }
}

/// The function of `IS JSON` and what may follow it.
fn json_test(kind: Option<&JsonPredicateType>) -> &'static str {
    match kind {
        None | Some(JsonPredicateType::Value) => "IS JSON VALUE",
        Some(JsonPredicateType::Scalar) => "IS JSON SCALAR",
        Some(JsonPredicateType::Array) => "IS JSON ARRAY",
        Some(JsonPredicateType::Object) => "IS JSON OBJECT",
    }
}

/// A unit of time as an argument.
fn unit(text: &str) -> Expr {
    literal::word(&text.to_uppercase())
}

/// The upper-case name of a function.
pub(super) fn function_name(name: &ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.value == TABLE_ARGUMENT => {
            Ok(TABLE_ARGUMENT.to_owned())
        }
        [ObjectNamePart::Identifier(ident)] => Ok(ident.value.to_uppercase()),
        _ => Err(Error::unsupported(format!(
            "functions of a catalog: {name}"
        ))),
    }
}

/// The error for functions that are not scalar functions.
fn reserved(name: &str) -> Option<Error> {
    match name {
        TABLE_ARGUMENT => Some(Error::syntax(
            "TABLE is allowed only as the argument of a window function in FROM TABLE(...)",
        )),
        "DESCRIPTOR" => Some(Error::syntax(
            "DESCRIPTOR is allowed only as the argument of a window function",
        )),
        "TUMBLE" | "HOP" | "SESSION" | "TUMBLE_START" | "TUMBLE_END" | "TUMBLE_ROWTIME"
        | "HOP_START" | "HOP_END" | "HOP_ROWTIME" | "SESSION_START" | "SESSION_END"
        | "SESSION_ROWTIME" | "TUMBLE_PROCTIME" => Some(Error::unsupported(format!(
            "the group window function {name}: use FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL ...)) and GROUP BY window_start, window_end"
        ))),
        _ => None,
    }
}

/// The positional arguments of a call.
pub(super) fn positional(function: &Function) -> Result<Vec<&Ast>> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::Subquery(_) => {
            return Err(Error::unsupported("a sub-query as argument"));
        }
        FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment.is_some()
        || !list.clauses.is_empty()
        || function.parameters != FunctionArguments::None
    {
        return Err(Error::unsupported(format!(
            "clauses in the arguments of {}",
            function.name
        )));
    }
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Ok(ast),
            FunctionArg::Unnamed(_) => Err(Error::syntax(format!(
                "* is not an argument of {}",
                function.name
            ))),
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => Err(Error::unsupported(
                format!("named arguments of {}", function.name),
            )),
        })
        .collect()
}
