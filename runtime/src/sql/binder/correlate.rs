//! Items of FROM that read the items before them: UNNEST, LATERAL.
//!
//! Place in the flow: a table function becomes a correlate over the item that has its arguments, a lateral sub-query a join by the
//! conditions it has on the items before it. Invariant: an item sees only what stands before it.

use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint,
    Query as AstQuery, Spanned, TableAlias, TableFactor, Value,
};

use super::call::function_name;
use super::expression::ExprBinder;
use super::from::alias_relation;
use super::join::{FromScope, JoinPlace, Part};
use super::ml_function::is_ml_function;
use super::query::{QueryBinder, query_place};
use super::relation::{Draft, Field, Relation, Using, forward};
use super::traits::Traits;
use crate::error::{Error, Result, Span};
use crate::plan::{Column, Correlate, JoinKind, Operator, UNNEST};
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::parser::tokens::span_of;
use crate::types::TypeKind;

/// Name of the column that counts the rows of a collection.
///
/// # Source
/// Calcite: `SqlUnnestOperator.ORDINALITY_COLUMN_NAME`.
const ORDINALITY: &str = "ORDINALITY";

/// A call of a table function as an item of FROM.
#[derive(Debug)]
struct TableCall<'a> {
    /// Upper-case name.
    name: String,
    /// Its arguments.
    args: Vec<&'a Ast>,
    /// `WITH ORDINALITY`.
    with_ordinality: bool,
    /// `AS t(a, b)`.
    alias: Option<&'a TableAlias>,
}

/// The call that an item is; absent for other items, window functions among them.
fn table_call(factor: &TableFactor) -> Result<Option<TableCall<'_>>> {
    let (name, args, with_ordinality, alias) = match factor {
        TableFactor::Table {
            name,
            args: Some(args),
            with_ordinality,
            alias,
            ..
        } => (name, positional(&args.args), *with_ordinality, alias),
        TableFactor::Function {
            name,
            args,
            with_ordinality,
            alias,
            ..
        } => (name, positional(args), *with_ordinality, alias),
        TableFactor::TableFunction {
            expr: Ast::Function(function),
            alias,
        } => match &function.args {
            FunctionArguments::List(list) => (&function.name, positional(&list.args), false, alias),
            _ => return Ok(None),
        },
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_ordinality,
            ..
        } => {
            return Ok(Some(TableCall {
                name: UNNEST.to_owned(),
                args: array_exprs.iter().collect(),
                with_ordinality: *with_ordinality,
                alias: alias.as_ref(),
            }));
        }
        _ => return Ok(None),
    };
    let mut call = TableCall {
        name: function_name(name)?,
        args: args.unwrap_or_default(),
        with_ordinality,
        alias: alias.as_ref(),
    };
    // LATERAL TABLE(f(x)) is a call of TABLE with a call as argument.
    if call.name == "TABLE"
        && let [Ast::Function(inner)] = call.args.as_slice()
        && let FunctionArguments::List(list) = &inner.args
    {
        call.name = function_name(&inner.name)?;
        call.args = positional(&list.args).unwrap_or_default();
    }
    Ok((call.name == UNNEST || is_ml_function(&call.name)).then_some(call))
}

/// The arguments of a call; absent when some have names.
fn positional(args: &[FunctionArg]) -> Option<Vec<&Ast>> {
    let positional = args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Some(ast),
        _ => None,
    });
    positional.collect()
}

impl QueryBinder<'_> {
    /// Joins what a function makes of the rows before it to them; says whether the item is such a function.
    pub(super) fn correlate(
        &mut self,
        factor: &TableFactor,
        scope: &mut FromScope,
        kind: JoinKind,
    ) -> Result<bool> {
        let Some(call) = table_call(factor)? else {
            return Ok(false);
        };
        let span = span_of(factor.span());
        let (args, columns) = if is_ml_function(&call.name) {
            let fields = scope.fields.clone();
            self.ml_call(&call.name, &call.args, &fields)?
        } else {
            self.unnest_call(&call, scope, span)?
        };
        if args.iter().any(Expr::is_correlated) {
            return Err(Error::unsupported(format!(
                "{} of a column of the query around a sub-query",
                call.name
            )));
        }
        let part = self.part_of(&args, scope)?;
        let (part, added) = self.correlated_part(part, (kind, &call), (args, columns))?;
        let named = Relation {
            fields: added,
            ..part.relation.clone()
        };
        let named = alias_relation(named, call.alias)?;
        scope.parts.push(part);
        let placed = scope.append(&named.fields);
        if let Some(part) = scope.parts.last_mut() {
            part.columns.extend(placed);
            part.relation.fields.extend(named.fields);
        }
        Ok(true)
    }

    /// Binds the argument of UNNEST; the columns it makes.
    fn unnest_call(
        &mut self,
        call: &TableCall<'_>,
        scope: &FromScope,
        span: Span,
    ) -> Result<(Vec<Expr>, Vec<Column>)> {
        let mut args = Vec::with_capacity(call.args.len());
        for ast in &call.args {
            args.push(ExprBinder::within(&scope.fields, self).bind(ast)?);
        }
        let [collection] = args.as_slice() else {
            return Err(Error::unsupported("UNNEST of several collections").with_span(span));
        };
        let columns = unnested(collection, call.with_ordinality)?;
        Ok((args, columns))
    }

    /// Binds `LEFT JOIN UNNEST(...) ON TRUE`; says whether the item is such a function.
    pub(super) fn left_correlate(
        &mut self,
        factor: &TableFactor,
        scope: &mut FromScope,
        place: JoinPlace<'_>,
    ) -> Result<bool> {
        if table_call(factor)?.is_none() {
            return Ok(false);
        }
        let is_true = match place.constraint {
            JoinConstraint::On(Ast::Value(value)) => value.value == Value::Boolean(true),
            _ => false,
        };
        if !is_true {
            return Err(Error::unsupported(
                "LEFT JOIN of a table function with a condition other than ON TRUE",
            ));
        }
        self.correlate(factor, scope, JoinKind::Left)
    }

    /// Takes the part that has all columns of these arguments out of a scope; joins several to one.
    fn part_of(&mut self, args: &[Expr], scope: &mut FromScope) -> Result<Part> {
        let columns: Vec<usize> = args.iter().flat_map(Expr::columns).collect();
        let reads = |part: &Part| columns.iter().any(|column| part.columns.contains(column));
        let found: Vec<usize> = (0..scope.parts.len())
            .filter(|index| reads(&scope.parts[*index]))
            .collect();
        match found.as_slice() {
            [] => {
                let one_row = self.one_row();
                Ok(Part {
                    columns: Vec::new(),
                    relation: one_row,
                    span: Span::default(),
                })
            }
            [only] => Ok(scope.parts.remove(*only)),
            [first, ..] => self.collapse(scope, *first),
        }
    }

    /// Adds the node of a table function over a part; its columns are given as fields.
    fn correlated_part(
        &mut self,
        mut part: Part,
        (kind, call): (JoinKind, &TableCall<'_>),
        (args, columns): (Vec<Expr>, Vec<Column>),
    ) -> Result<(Part, Vec<Field>)> {
        let args: Vec<Expr> = args.iter().map(|arg| part.over_base(arg)).collect();
        self.builder.recognize_rank(&mut part.relation)?;
        let (relation, places) = self.builder.extend(part.relation, &args);
        let base = self.builder.node(relation.base).clone();
        let width = base.schema.len();
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|column| Column {
                ty: column
                    .ty
                    .with_nullable(column.ty.nullable || kind.nulls_right()),
                ..column
            })
            .collect();
        let mut schema = base.schema.clone();
        schema.extend(columns.iter().cloned());
        let added = columns.iter().enumerate().map(|(index, column)| Field {
            name: column.name.clone(),
            qualifier: Some(call.name.clone()),
            expr: Expr::column(width + index, column.ty.clone()),
            hidden: false,
            using: Using::No,
        });
        let added = added.collect();
        let args = places
            .iter()
            .map(|column| Expr::column(*column, base.schema[*column].ty.clone()));
        let draft = Draft {
            inputs: vec![forward(relation.base)],
            changelog: base.changelog,
            schema,
            traits: Traits {
                keys: Vec::new(),
                ..self.builder.traits_of(relation.base).clone()
            },
            operator: Operator::Correlate(Correlate {
                kind,
                function: call.name.clone(),
                args: args.collect(),
                with_ordinality: call.with_ordinality,
                columns,
            }),
        };
        let base = self.builder.add(draft);
        part.relation = Relation { base, ..relation };
        Ok((part, added))
    }

    /// Binds a sub-query that reads the items before it.
    pub(super) fn lateral_query(
        &mut self,
        query: &AstQuery,
        alias: Option<&TableAlias>,
        scope: &mut FromScope,
    ) -> Result<()> {
        let fields = scope.fields.clone();
        let mut relation = self.nested_query(query, &fields)?;
        let conditions = std::mem::take(&mut relation.correlated);
        if relation.fields.iter().any(|f| f.expr.is_correlated()) {
            return Err(Error::unsupported(
                "a LATERAL sub-query that shows columns of the items before it",
            ));
        }
        let mut relation = alias_relation(relation, alias)?;
        // What the conditions read of the sub-query must be among its fields.
        for column in conditions.iter().flat_map(Expr::columns) {
            let is_known = |f: &Field| f.expr.as_column() == Some(column);
            if !relation.fields.iter().any(is_known) {
                let ty = self.builder.node(relation.base).schema[column].ty.clone();
                relation.fields.push(Field {
                    name: format!("$correlated{column}"),
                    qualifier: relation.fields.first().and_then(|f| f.qualifier.clone()),
                    expr: Expr::column(column, ty),
                    hidden: true,
                    using: Using::No,
                });
            }
        }
        let first = scope.fields.len();
        let own = relation.fields.clone();
        scope.add(relation, query_place(query))?;
        for condition in conditions {
            let placed = condition.replace_columns(&|column, index| {
                let at = own.iter().position(|f| f.expr.as_column() == Some(index));
                at.map_or_else(
                    || column.clone(),
                    |at| Expr {
                        span: column.span,
                        ..scope.fields[first + at].expr.clone()
                    },
                )
            });
            let placed = placed.replace_outer(&|column, depth, index| {
                if depth == 1 {
                    return Expr {
                        span: column.span,
                        ..fields[index].expr.clone()
                    };
                }
                Expr {
                    kind: ExprKind::Column {
                        depth: depth - 1,
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                    },
                    ..column.clone()
                }
            });
            scope.conditions.push(placed);
        }
        Ok(())
    }
}

/// The columns that UNNEST makes of a collection.
///
/// # Source
/// Calcite: `SqlUnnestOperator`; a row becomes its fields, a map its keys and values.
fn unnested(collection: &Expr, with_ordinality: bool) -> Result<Vec<Column>> {
    let column = |name: &str, ty: &crate::types::FlinkType| Column {
        name: name.to_owned(),
        ty: ty.clone(),
    };
    let mut columns = match &collection.ty.kind {
        TypeKind::Array(element) | TypeKind::Multiset(element) => match &element.kind {
            TypeKind::Row(fields) => fields
                .iter()
                .map(|field| Column {
                    name: field.name.clone(),
                    ty: field
                        .ty
                        .with_nullable(field.ty.nullable || element.nullable),
                })
                .collect(),
            _ => vec![column("EXPR$0", element)],
        },
        TypeKind::Map(key, value) => vec![column("KEY", key), column("VALUE", value)],
        _ => {
            return Err(Error::type_mismatch(format!(
                "UNNEST takes an ARRAY, MAP or MULTISET, not {}",
                collection.ty
            ))
            .with_span(collection.span));
        }
    };
    if with_ordinality {
        columns.push(column(ORDINALITY, &TypeKind::Int.not_null()));
    }
    Ok(columns)
}
