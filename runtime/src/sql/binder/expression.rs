//! Expressions of the text to bound expressions.
//!
//! Place in the flow: every clause binds its expressions here against the columns in scope. Behind a GROUP BY the same code
//! runs with a [`Grouping`], which turns grouped expressions and aggregates into columns. Invariant: every result is typed,
//! knows its place, and all its casts are explicit.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr as Ast, Ident, ObjectName, ObjectNamePart,
    Spanned, TimezoneInfo, UnaryOperator, Value,
};

use super::aggregate::{Grouping, is_aggregate};
use super::literal;
use super::over::OverCall;
use super::relation::Field;
use super::subquery::Subquery;
use crate::error::{Error, Result, Span};
use crate::sql::dialect::FLINK_TYPE;
use crate::sql::expr::Expr;
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;
use crate::sql::typing::{case, explicit_cast};
use crate::types::{FlinkType, TypeKind};

/// How deeply an expression may nest.
///
/// # Source
/// Twice the parser's limit on operators in a row; deeper trees cannot come from it.
const DEPTH_MAX: usize = 1_000;

/// Binds expressions against the columns in scope.
pub(super) struct ExprBinder<'a> {
    /// Columns in scope.
    pub(super) fields: &'a [Field],
    /// What a GROUP BY leaves of them.
    pub(super) grouping: Option<&'a mut Grouping>,
    /// The query around; absent where there is none, as in computed columns.
    pub(super) context: Option<&'a mut (dyn Context + 'a)>,
    /// Whether it is an expression of `MATCH_RECOGNIZE`.
    pub(super) is_pattern: bool,
    /// Levels of nesting above the present expression.
    pub(super) depth: usize,
}

/// What an expression asks of the query that it stands in.
pub(super) trait Context {
    /// The column of an enclosing query.
    fn outer(&self, table: Option<&Ident>, column: &Ident) -> Result<Option<Expr>>;

    /// A column that stands for a sub-query until the clause is bound.
    fn subquery(&mut self, subquery: Subquery<'_>, fields: &[Field]) -> Result<Expr>;

    /// A column that stands for an aggregate over rows until the clause is bound.
    fn over(&mut self, call: OverCall) -> Expr;

    /// The database that names without one are looked up in.
    fn current_database(&self) -> &str;

    /// The window of a name in the clause WINDOW.
    fn named_window(&self, name: &Ident) -> Result<sqlparser::ast::WindowSpec>;
}

/// The place of a tree; chains of operators are walked without recursion, since sqlparser's own look-up recurses.
pub(super) fn place(ast: &Ast) -> Span {
    let mut first = ast;
    while let Ast::BinaryOp { left, .. } = first {
        first = left;
    }
    let start = span_of(first.span());
    match ast {
        Ast::BinaryOp { right, .. } => start.union(place(right)),
        _ => start,
    }
}

impl<'a> ExprBinder<'a> {
    /// A binder for the columns of a relation.
    pub(super) fn new(fields: &'a [Field]) -> Self {
        Self {
            fields,
            grouping: None,
            context: None,
            is_pattern: false,
            depth: 0,
        }
    }

    /// A binder for the columns of a relation inside a query.
    pub(super) fn within(fields: &'a [Field], context: &'a mut (dyn Context + 'a)) -> Self {
        Self {
            context: Some(context),
            ..Self::new(fields)
        }
    }

    /// Binds an expression.
    ///
    /// # Errors
    /// `Invalid` for names and types that do not fit, `Unsupported` for what Weir does not have yet; both with the place.
    pub(super) fn bind(&mut self, ast: &Ast) -> Result<Expr> {
        if self.depth > DEPTH_MAX {
            return Err(Error::validation(format!(
                "an expression nests deeper than {DEPTH_MAX} levels"
            )));
        }
        self.depth += 1;
        let span = place(ast);
        let bound = match self.grouped(ast) {
            Ok(Some(expr)) => Ok(expr),
            Ok(None) => self.bind_kind(ast, span),
            Err(error) => Err(error),
        };
        self.depth -= 1;
        bound
            .map(|expr| Expr {
                span: if expr.span.is_known() {
                    expr.span
                } else {
                    span
                },
                ..expr
            })
            .map_err(|error| error.with_span(span))
    }

    /// Binds a condition.
    ///
    /// # Errors
    /// As [`Self::bind`]; also when the type is not BOOLEAN.
    pub(super) fn bind_condition(&mut self, ast: &Ast, clause: &str) -> Result<Expr> {
        let expr = self.bind(ast)?;
        match expr.ty.kind {
            TypeKind::Boolean => Ok(expr),
            TypeKind::Null => explicit_cast(expr, TypeKind::Boolean.nullable(), false, place(ast)),
            _ => Err(
                Error::type_mismatch(format!("{clause} takes a BOOLEAN, not {}", expr.ty))
                    .with_span(place(ast)),
            ),
        }
    }

    /// The column of a grouped expression or aggregate, when a GROUP BY is in effect.
    fn grouped(&mut self, ast: &Ast) -> Result<Option<Expr>> {
        let Some(grouping) = self.grouping.as_deref_mut() else {
            return Ok(None);
        };
        let span = place(ast);
        let context = self.context.as_mut();
        let context = context.map(|context| &mut **context as &mut dyn Context);
        let mut inner = ExprBinder {
            fields: self.fields,
            grouping: None,
            context,
            is_pattern: self.is_pattern,
            depth: self.depth,
        };
        if let Ast::Function(function) = ast {
            if let Some(column) = grouping.auxiliary(function, &mut inner, span)? {
                return Ok(Some(column));
            }
            if is_aggregate(function) {
                return grouping.aggregate(function, inner, span).map(Some);
            }
            if function.over.is_some() {
                return Ok(None);
            }
        }
        if is_query(ast) {
            return Ok(None);
        }
        let is_name = matches!(ast, Ast::Identifier(_) | Ast::CompoundIdentifier(_));
        if !is_name && !grouping.has_computed_keys() {
            return Ok(None);
        }
        match inner.bind(ast) {
            Ok(bound) => match grouping.key(&bound) {
                Some(key) => Ok(Some(Expr { span, ..key })),
                None if is_name && !bound.columns().is_empty() => Err(Error::validation(format!(
                    "expression \"{ast}\" is not being grouped"
                ))
                .with_span(span)),
                None => Ok(None),
            },
            Err(error) if is_name => Err(error),
            // An aggregate inside: its parts are looked at one by one.
            Err(_) => Ok(None),
        }
    }

    /// The same binder for less time.
    pub(super) fn reborrow(&mut self) -> ExprBinder<'_> {
        let context = self.context.as_mut();
        let context = context.map(|context| &mut **context as &mut dyn Context);
        ExprBinder {
            fields: self.fields,
            grouping: self.grouping.as_deref_mut(),
            context,
            is_pattern: self.is_pattern,
            depth: self.depth,
        }
    }

    /// Binds several expressions.
    fn bind_all<'b>(&mut self, asts: impl IntoIterator<Item = &'b Ast>) -> Result<Vec<Expr>> {
        asts.into_iter().map(|ast| self.bind(ast)).collect()
    }

    /// Binds a call of one operand.
    fn unary(&mut self, name: &str, ast: &Ast, span: Span) -> Result<Expr> {
        let arg = self.bind(ast)?;
        resolve(name, vec![arg], span)
    }

    /// Binds an expression by its kind.
    fn bind_kind(&mut self, ast: &Ast, span: Span) -> Result<Expr> {
        match ast {
            Ast::Identifier(ident) => self.name(std::slice::from_ref(ident)),
            Ast::CompoundIdentifier(idents) => self.name(idents),
            Ast::Nested(inner) => self.bind(inner),
            Ast::Value(value) => literal::value(&value.value),
            Ast::Interval(interval) => literal::interval(interval),
            Ast::TypedString(typed) => typed_string(typed),
            Ast::BinaryOp {
                left,
                op: BinaryOperator::Overlaps,
                right,
            } => self.overlaps(left, right, span),
            Ast::BinaryOp { .. } => self.binary(ast),
            Ast::UnaryOp { op, expr } => self.prefix(*op, expr, span),
            Ast::IsDistinctFrom(a, b) => self.call("IS DISTINCT FROM", &[a, b], span),
            Ast::IsNotDistinctFrom(a, b) => self.call("IS NOT DISTINCT FROM", &[a, b], span),
            Ast::Cast {
                kind,
                expr,
                data_type,
                ..
            } => self.cast(kind, expr, data_type),
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref(), span),
            Ast::Function(function) => self.function(function, span),
            Ast::Array(array) if array.named => {
                self.call("ARRAY", &array.elem.iter().collect::<Vec<_>>(), span)
            }
            Ast::Tuple(items) => self.call("ROW", &items.iter().collect::<Vec<_>>(), span),
            Ast::CompoundFieldAccess { root, access_chain } => {
                self.access(root, access_chain, span)
            }
            _ => self.test(ast, span),
        }
    }

    /// Binds tests: of NULL and truth, of lists, ranges and patterns.
    fn test(&mut self, ast: &Ast, span: Span) -> Result<Expr> {
        match ast {
            Ast::IsNull(e) => self.unary("IS NULL", e, span),
            Ast::IsNotNull(e) => self.unary("IS NOT NULL", e, span),
            Ast::IsTrue(e) => self.unary("IS TRUE", e, span),
            Ast::IsNotTrue(e) => self.unary("IS NOT TRUE", e, span),
            Ast::IsFalse(e) => self.unary("IS FALSE", e, span),
            Ast::IsNotFalse(e) => self.unary("IS NOT FALSE", e, span),
            Ast::IsUnknown(e) => self.unary("IS UNKNOWN", e, span),
            Ast::IsNotUnknown(e) => self.unary("IS NOT UNKNOWN", e, span),
            Ast::InList {
                expr,
                list,
                negated,
            } => {
                let args = self.bind_all(std::iter::once(&**expr).chain(list))?;
                negate(resolve("IN", args, span)?, *negated, span)
            }
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let call = self.call("BETWEEN", &[expr, low, high], span)?;
                negate(call, *negated, span)
            }
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                let args: Vec<&Ast> = [expr, pattern]
                    .into_iter()
                    .chain(escape_char)
                    .map(|arg| &**arg)
                    .collect();
                negate(self.call("LIKE", &args, span)?, *negated, span)
            }
            Ast::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => {
                let args: Vec<&Ast> = [expr, pattern]
                    .into_iter()
                    .chain(escape_char)
                    .map(|arg| &**arg)
                    .collect();
                negate(self.call("SIMILAR TO", &args, span)?, *negated, span)
            }
            _ => self.special(ast, span),
        }
    }

    /// Binds the operands of a call and resolves it.
    pub(super) fn call(&mut self, name: &str, args: &[&Ast], span: Span) -> Result<Expr> {
        let args = self.bind_all(args.iter().copied())?;
        resolve(name, args, span)
    }

    /// Binds a chain of binary operators from the left, without recursion along the chain.
    fn binary(&mut self, ast: &Ast) -> Result<Expr> {
        let mut links = Vec::new();
        let mut left = ast;
        while let Ast::BinaryOp {
            left: inner,
            op,
            right,
        } = left
            && *op != BinaryOperator::Overlaps
        {
            links.push((left, op, &**right));
            left = inner;
            // A grouped part of the chain is a column, not a chain.
            if self.grouping.is_some()
                && matches!(left, Ast::BinaryOp { .. })
                && self.grouped(left)?.is_some()
            {
                break;
            }
        }
        let mut bound = self.bind(left)?;
        let mut links = links.into_iter().rev().peekable();
        while let Some((link, op, right)) = links.next() {
            let span = place(link);
            let name = operator(op).map_err(|error| error.with_span(span))?;
            let right = self.bind(right)?;
            if name != "AND" && name != "OR" {
                bound = resolve(name, vec![bound, right], span)?;
                continue;
            }
            // AND and OR are associative: a balanced tree keeps long conditions shallow.
            let mut operands = vec![bound, right];
            let mut whole = span;
            while let Some((link, _, right)) = links.next_if(|(_, next, _)| *next == op) {
                operands.push(self.bind(right)?);
                whole = place(link);
            }
            bound = balance(name, operands, whole)?;
        }
        Ok(bound)
    }

    /// Binds `NOT`, `+` and `-`.
    fn prefix(&mut self, op: UnaryOperator, ast: &Ast, span: Span) -> Result<Expr> {
        match op {
            UnaryOperator::Not => self.unary("NOT", ast, span),
            UnaryOperator::Minus => {
                if let Ast::Value(value) = ast
                    && let Value::Number(text, false) = &value.value
                {
                    return literal::number(text, true);
                }
                self.unary("-", ast, span)
            }
            UnaryOperator::Plus => {
                let expr = self.bind(ast)?;
                if expr.ty.kind.is_numeric() {
                    return Ok(expr);
                }
                Err(Error::type_mismatch(format!("+ does not take {}", expr.ty)))
            }
            _ => Err(Error::syntax(format!("Flink SQL has no operator {op}"))),
        }
    }

    /// Binds `CAST` and `TRY_CAST`.
    fn cast(&mut self, kind: &CastKind, ast: &Ast, data_type: &DataType) -> Result<Expr> {
        let lenient = match kind {
            CastKind::Cast => false,
            CastKind::TryCast => true,
            CastKind::SafeCast | CastKind::DoubleColon => {
                return Err(Error::syntax("a cast is written CAST(value AS type)"));
            }
        };
        let (ty, span) = flink_type(data_type)?;
        let expr = self.bind(ast)?;
        explicit_cast(expr, ty, lenient, span)
    }

    /// Binds `CASE`; with an operand every condition becomes a comparison.
    fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        otherwise: Option<&Ast>,
        span: Span,
    ) -> Result<Expr> {
        let operand = operand.map(|operand| self.bind(operand)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for branch in conditions {
            let mut when = self.bind(&branch.condition)?;
            if let Some(operand) = &operand {
                when = resolve("=", vec![operand.clone(), when], place(&branch.condition))?;
            }
            branches.push((when, self.bind(&branch.result)?));
        }
        let otherwise = otherwise
            .map(|otherwise| self.bind(otherwise))
            .transpose()?;
        case(branches, otherwise, span)
    }
}

/// Whether an expression is a sub-query or a test of one.
pub(super) fn is_query(ast: &Ast) -> bool {
    matches!(
        ast,
        Ast::Subquery(_)
            | Ast::Exists { .. }
            | Ast::InSubquery { .. }
            | Ast::AnyOp { .. }
            | Ast::AllOp { .. }
    )
}

/// `NOT` when negated.
pub(super) fn negate(expr: Expr, negated: bool, span: Span) -> Result<Expr> {
    if negated {
        resolve("NOT", vec![expr], span)
    } else {
        Ok(expr)
    }
}

/// A balanced tree of an associative operator.
fn balance(name: &str, mut operands: Vec<Expr>, span: Span) -> Result<Expr> {
    if operands.len() == 1
        && let Some(only) = operands.pop()
    {
        return Ok(only);
    }
    let right = operands.split_off(operands.len().div_ceil(2));
    let (left, right) = (balance(name, operands, span)?, balance(name, right, span)?);
    resolve(name, vec![left, right], span)
}

/// The function of a binary operator.
fn operator(op: &BinaryOperator) -> Result<&'static str> {
    Ok(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        other => return Err(Error::syntax(format!("Flink SQL has no operator {other}"))),
    })
}

/// The type that the dialect's CAST hook stored, and the place of the cast.
fn flink_type(data_type: &DataType) -> Result<(FlinkType, Span)> {
    if let DataType::Custom(ObjectName(name), modifiers) = data_type
        && let [ObjectNamePart::Identifier(ident)] = name.as_slice()
        && ident.value == FLINK_TYPE
        && let [json] = modifiers.as_slice()
    {
        let ty = serde_json::from_str(json)
            .map_err(|error| Error::internal(format!("type of CAST: {error}")))?;
        return Ok((ty, span_of(ident.span)));
    }
    Err(Error::syntax("a cast is written CAST(value AS type)"))
}

/// `DATE '...'`, `TIME '...'` and `TIMESTAMP '...'`.
fn typed_string(typed: &sqlparser::ast::TypedString) -> Result<Expr> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(Error::syntax(
            "a date or time literal takes a string in single quotes",
        ));
    };
    match &typed.data_type {
        DataType::Date => literal::date(text),
        DataType::Time(None, TimezoneInfo::None) => literal::time(text),
        DataType::Timestamp(None, TimezoneInfo::None) => literal::timestamp(text),
        other => Err(Error::syntax(format!(
            "Flink SQL has no literal {other} '...'"
        ))),
    }
}
