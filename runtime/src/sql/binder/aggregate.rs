//! GROUP BY and aggregates.
//!
//! Place in the flow: a SELECT with groups becomes a Calc that computes keys and arguments, the aggregation, and a relation
//! over its columns. Invariant: behind a GROUP BY only grouped expressions and aggregates are columns.

use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    ObjectName,
};

use super::call::function_name;
use super::expression::ExprBinder;
use super::relation::{
    Draft, Field, PlanBuilder, Relation, WINDOW_END, WINDOW_START, WINDOW_TIME, forward,
    without_spans,
};
use crate::error::{Error, Result, Span};
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Column, Exchange, Input, NodeId, Operator,
    Window, WindowProperty,
};
use crate::sql::expr::{Expr, Literal};
use crate::types::{FlinkType, TypeKind};

/// Aggregates that Flink has and Weir does not yet.
const LATER: [&str; 19] = [
    "APPROX_COUNT_DISTINCT",
    "ARRAY_AGG",
    "COLLECT",
    "CUME_DIST",
    "DENSE_RANK",
    "FIRST_VALUE",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "LISTAGG",
    "NTILE",
    "RANK",
    "ROW_NUMBER",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VAR_POP",
    "VAR_SAMP",
];

/// Other names of aggregates that Weir does not have yet.
const LATER_ALIASES: [&str; 4] = ["STDDEV", "VARIANCE", "GROUPING", "PERCENTILE"];

/// The aggregate of a name.
fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    Some(match name {
        "COUNT" => AggregateFunction::Count,
        "SUM" => AggregateFunction::Sum,
        "AVG" => AggregateFunction::Avg,
        "MIN" => AggregateFunction::Min,
        "MAX" => AggregateFunction::Max,
        _ => return None,
    })
}

/// Whether a call is of an aggregate function, not over a window of rows.
pub(super) fn is_aggregate(function: &Function) -> bool {
    function.over.is_none() && names_aggregate(&function.name)
}

/// Whether a name is that of an aggregate function.
fn names_aggregate(name: &ObjectName) -> bool {
    function_name(name).is_ok_and(|name| {
        let name = name.as_str();
        aggregate_function(name).is_some() || LATER.contains(&name) || LATER_ALIASES.contains(&name)
    })
}

/// An aggregate of a query, over the base of the grouped relation.
#[derive(Debug, Clone, PartialEq)]
struct Aggregate {
    /// Which one.
    function: AggregateFunction,
    /// Its argument; absent for `COUNT(*)`.
    argument: Option<Expr>,
    /// `FILTER (WHERE ...)`.
    filter: Option<Expr>,
    /// `DISTINCT`.
    distinct: bool,
    /// Type of its result.
    ty: FlinkType,
}

/// What a GROUP BY makes of the columns: keys first, then aggregates in the order in which they are met.
#[derive(Debug)]
pub(super) struct Grouping {
    /// Keys over the base of the grouped relation, without places.
    keys: Vec<Expr>,
    /// Aggregates.
    aggregates: Vec<Aggregate>,
    /// Whether there is a group without rows: no keys.
    is_global: bool,
}

impl Grouping {
    /// Groups by keys.
    pub(super) fn new(keys: &[Expr]) -> Self {
        let mut distinct: Vec<Expr> = Vec::with_capacity(keys.len());
        for key in keys.iter().map(without_spans) {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        Self {
            is_global: distinct.is_empty(),
            keys: distinct,
            aggregates: Vec::new(),
        }
    }

    /// Whether a key is more than a column.
    pub(super) fn has_computed_keys(&self) -> bool {
        self.keys.iter().any(|key| key.as_column().is_none())
    }

    /// The grouped column that is this expression.
    pub(super) fn key(&self, bound: &Expr) -> Option<Expr> {
        let bound = without_spans(bound);
        let index = self.keys.iter().position(|key| *key == bound)?;
        Some(Expr::column(index, bound.ty))
    }

    /// The column of an aggregate call.
    ///
    /// # Errors
    /// `Invalid` for arguments the aggregate does not take, `Unsupported` for aggregates that do not exist yet.
    pub(super) fn aggregate(
        &mut self,
        call: &Function,
        fields: &[Field],
        span: Span,
    ) -> Result<Expr> {
        let name = function_name(&call.name)?;
        let Some(function) = aggregate_function(&name) else {
            return Err(Error::unsupported(format!("the aggregate {name}")).with_span(span));
        };
        if !call.within_group.is_empty() || call.null_treatment.is_some() {
            return Err(
                Error::unsupported(format!("WITHIN GROUP and NULLS of {name}")).with_span(span),
            );
        }
        let (argument, distinct) = argument(call, &name).map_err(|error| error.with_span(span))?;
        let argument = argument
            .map(|ast| ExprBinder::new(fields).bind(ast))
            .transpose()?;
        let filter = call.filter.as_deref();
        let filter = filter
            .map(|ast| ExprBinder::new(fields).bind_condition(ast, "FILTER"))
            .transpose()?;
        let is_nullable = self.is_global || filter.is_some();
        let ty = result_type(function, argument.as_ref().map(|arg| &arg.ty), is_nullable)
            .map_err(|error| error.with_span(span))?;
        let aggregate = Aggregate {
            function,
            argument: argument.as_ref().map(without_spans),
            filter: filter.as_ref().map(without_spans),
            // The smallest of distinct values is the smallest of all values.
            distinct: distinct
                && !matches!(function, AggregateFunction::Min | AggregateFunction::Max),
            ty: ty.clone(),
        };
        let known = self.aggregates.iter().position(|other| *other == aggregate);
        let position = known.unwrap_or_else(|| {
            self.aggregates.push(aggregate);
            self.aggregates.len() - 1
        });
        Ok(Expr {
            span,
            ..Expr::column(self.keys.len() + position, ty)
        })
    }
}

/// The argument of an aggregate, absent for `*`, and whether it is DISTINCT.
fn argument<'a>(call: &'a Function, name: &str) -> Result<(Option<&'a Ast>, bool)> {
    let FunctionArguments::List(list) = &call.args else {
        return Err(Error::type_mismatch(format!("{name} takes an argument")));
    };
    if !list.clauses.is_empty() {
        return Err(Error::unsupported(format!(
            "clauses in the arguments of {name}"
        )));
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "COUNT" && !distinct => {
            Ok((None, false))
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast))] => Ok((Some(ast), distinct)),
        [_, _, ..] if name == "COUNT" => Err(Error::unsupported("COUNT of several columns")),
        _ => Err(Error::type_mismatch(format!("{name} takes one argument"))),
    }
}

/// The type of an aggregate's result.
///
/// # Source
/// Flink: `LogicalTypeMerging.findSumAggType` and `findAvgAggType`; nullability by Calcite's `AGG_SUM` and
/// `ARG0_NULLABLE_IF_EMPTY`.
fn result_type(
    function: AggregateFunction,
    argument: Option<&FlinkType>,
    is_nullable: bool,
) -> Result<FlinkType> {
    let Some(argument) = argument else {
        return Ok(TypeKind::BigInt.not_null());
    };
    let nullable = argument.nullable || is_nullable;
    let mismatch = |name: &str| {
        Err(Error::type_mismatch(format!(
            "{name} does not take {argument}"
        )))
    };
    let kind = match function {
        AggregateFunction::Count => return Ok(TypeKind::BigInt.not_null()),
        AggregateFunction::Sum | AggregateFunction::Avg if !argument.kind.is_numeric() => {
            return mismatch(if function == AggregateFunction::Sum {
                "SUM"
            } else {
                "AVG"
            });
        }
        AggregateFunction::Sum => match argument.kind {
            TypeKind::Decimal { scale, .. } => TypeKind::Decimal {
                precision: 38,
                scale,
            },
            _ => argument.kind.clone(),
        },
        AggregateFunction::Avg => match argument.kind {
            TypeKind::Decimal { scale, .. } => TypeKind::Decimal {
                precision: 38,
                scale: scale.max(6),
            },
            _ => argument.kind.clone(),
        },
        AggregateFunction::Min | AggregateFunction::Max => match argument.kind {
            TypeKind::Array(_)
            | TypeKind::Map(..)
            | TypeKind::Multiset(_)
            | TypeKind::Row(_)
            | TypeKind::Null => {
                return mismatch(if function == AggregateFunction::Min {
                    "MIN"
                } else {
                    "MAX"
                });
            }
            _ => argument.kind.clone(),
        },
    };
    Ok(FlinkType { kind, nullable })
}

/// Columns that a Calc computes for an aggregation, each expression once.
#[derive(Debug, Default)]
struct Arguments {
    /// The expressions.
    exprs: Vec<Expr>,
}

impl Arguments {
    /// The column of an expression.
    fn column(&mut self, expr: &Expr) -> usize {
        let known = self.exprs.iter().position(|other| other == expr);
        known.unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }
}

/// The window columns among the keys.
#[derive(Debug)]
struct WindowKeys {
    /// The window.
    window: Window,
    /// For each key, the property it is; absent for other keys.
    properties: Vec<Option<WindowProperty>>,
}

impl PlanBuilder {
    /// Adds the aggregation of a relation. The result has the keys, then the aggregates.
    pub(super) fn aggregate(
        &mut self,
        mut relation: Relation,
        grouping: &Grouping,
    ) -> Result<Relation> {
        let windowed = self.window_keys(&relation, grouping)?;
        if windowed.is_none() {
            self.apply_window(&mut relation);
        }
        let properties = windowed.as_ref().map_or_else(
            || vec![None; grouping.keys.len()],
            |keys| keys.properties.clone(),
        );
        let mut arguments = Arguments::default();
        let plain = || {
            grouping
                .keys
                .iter()
                .zip(&properties)
                .filter(|(_, property)| property.is_none())
        };
        let keys: Vec<usize> = plain().map(|(key, _)| arguments.column(key)).collect();
        let calls: Vec<AggregateCall> = grouping
            .aggregates
            .iter()
            .map(|aggregate| AggregateCall {
                function: aggregate.function,
                argument: aggregate
                    .argument
                    .as_ref()
                    .map(|expr| arguments.column(expr)),
                filter: aggregate.filter.as_ref().map(|expr| arguments.column(expr)),
                distinct: aggregate.distinct,
                ty: aggregate.ty.clone(),
            })
            .collect();
        let base = self.node(relation.base);
        let changelog = base.changelog;
        let time = windowed.as_ref().map(|keys| {
            let time = keys.window.time;
            arguments.column(&Expr::column(time, base.schema[time].ty.clone()))
        });
        let input = self.arguments(relation, arguments.exprs);
        let exchange = if keys.is_empty() {
            Exchange::Single
        } else {
            Exchange::Hash(keys.clone())
        };
        let input = Input {
            node: input,
            exchange,
        };
        match windowed.zip(time) {
            Some((window_keys, time)) => {
                if changelog != ChangelogMode::Append {
                    return Err(Error::unsupported(
                        "window aggregations over an updating input",
                    ));
                }
                Ok(self.window_aggregate(window_keys, time, input, (keys, calls)))
            }
            None => Ok(self.group_aggregate(input, keys, calls)),
        }
    }

    /// Computes what an aggregation reads; a batch has at least one column.
    fn arguments(&mut self, relation: Relation, mut exprs: Vec<Expr>) -> NodeId {
        if exprs.is_empty() {
            let one = Literal::Boolean(true);
            exprs.push(Expr::literal(one, TypeKind::Boolean.not_null()));
        }
        let mut schema = columns("f", exprs.iter().map(|expr| &expr.ty));
        let base = &self.node(relation.base).schema;
        for (column, expr) in schema.iter_mut().zip(&exprs) {
            if let Some(own) = expr.as_column().and_then(|index| base.get(index)) {
                column.name.clone_from(&own.name);
            }
        }
        self.calc(relation.base, relation.condition, exprs, schema)
    }

    /// The window columns among the keys, when both start and end are grouped and nothing else reads them.
    fn window_keys(&self, relation: &Relation, grouping: &Grouping) -> Result<Option<WindowKeys>> {
        let Some(window) = &relation.window else {
            return Ok(None);
        };
        let width = self.width(relation);
        let property = |key: &Expr| {
            let position = key.as_column()?.checked_sub(width)?;
            [
                WindowProperty::Start,
                WindowProperty::End,
                WindowProperty::Time,
            ]
            .get(position)
            .copied()
        };
        let properties: Vec<Option<WindowProperty>> = grouping.keys.iter().map(property).collect();
        let has = |wanted| properties.contains(&Some(wanted));
        if !has(WindowProperty::Start) || !has(WindowProperty::End) {
            return Ok(None);
        }
        let reads_window = |expr: &Expr| expr.columns().iter().any(|index| *index >= width);
        let computed = grouping
            .keys
            .iter()
            .filter(|key| property(key).is_none())
            .chain(
                grouping
                    .aggregates
                    .iter()
                    .flat_map(|a| a.argument.iter().chain(&a.filter)),
            )
            .chain(&relation.condition);
        if computed.into_iter().any(reads_window) {
            return Err(Error::unsupported(
                "conditions, keys and aggregates over window columns in the query that groups by them: use a query around it",
            ));
        }
        Ok(Some(WindowKeys {
            window: window.clone(),
            properties,
        }))
    }

    /// Adds an aggregation per window.
    fn window_aggregate(
        &mut self,
        window_keys: WindowKeys,
        time: usize,
        input: Input,
        (keys, aggregates): (Vec<usize>, Vec<AggregateCall>),
    ) -> Relation {
        let schema = &self.node(input.node).schema;
        let window_types = super::relation::window_types(&schema[time].ty);
        let key_columns: Vec<FlinkType> = keys.iter().map(|key| schema[*key].ty.clone()).collect();
        let mut properties = Vec::new();
        for property in [
            WindowProperty::Start,
            WindowProperty::End,
            WindowProperty::Time,
        ] {
            if window_keys.properties.contains(&Some(property)) {
                properties.push(property);
            }
        }
        let mut types = key_columns;
        types.extend(aggregates.iter().map(|call| call.ty.clone()));
        let first_property = types.len();
        types.extend(
            properties
                .iter()
                .map(|property| window_types[position(*property)].clone()),
        );
        let property_column =
            |property| first_property + properties.iter().position(|p| *p == property).unwrap_or(0);
        // The grouping's order is all keys, then aggregates; the node's is plain keys, aggregates, properties.
        let mut next = 0;
        let mut order: Vec<usize> = window_keys
            .properties
            .iter()
            .map(|property| {
                property.map_or_else(
                    || {
                        next += 1;
                        next - 1
                    },
                    property_column,
                )
            })
            .collect();
        order.extend(keys.len()..keys.len() + aggregates.len());
        let rowtime = properties
            .contains(&WindowProperty::Time)
            .then(|| property_column(WindowProperty::Time));
        let mut window = window_keys.window;
        window.time = time;
        let schema = window_schema(&types, first_property, &properties);
        let node = self.add(Draft {
            operator: Operator::WindowAggregate {
                window,
                keys,
                aggregates,
                properties,
            },
            inputs: vec![input],
            schema,
            changelog: ChangelogMode::Append,
            upsert_key: None,
            rowtime,
        });
        let all = self.relation(node);
        Relation {
            fields: order
                .into_iter()
                .map(|index| all.fields[index].clone())
                .collect(),
            ..all
        }
    }

    /// Adds an aggregation that never ends.
    pub(super) fn group_aggregate(
        &mut self,
        input: Input,
        keys: Vec<usize>,
        aggregates: Vec<AggregateCall>,
    ) -> Relation {
        let schema = &self.node(input.node).schema;
        let key_columns = keys.iter().map(|key| schema[*key].clone());
        let results = columns("a", aggregates.iter().map(|call| &call.ty));
        let draft = Draft {
            schema: key_columns.chain(results).collect(),
            inputs: vec![input],
            changelog: ChangelogMode::Retract,
            upsert_key: Some((0..keys.len()).collect()),
            rowtime: None,
            operator: Operator::GroupAggregate { keys, aggregates },
        };
        let node = self.add(draft);
        self.relation(node)
    }

    /// Adds what DISTINCT means: a group for each row.
    pub(super) fn distinct(&mut self, relation: Relation) -> Relation {
        let names: Vec<String> = relation
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect();
        let input = self.materialize(relation);
        let keys: Vec<usize> = (0..names.len()).collect();
        let edge = Input {
            exchange: Exchange::Hash(keys.clone()),
            ..forward(input)
        };
        let mut relation = self.group_aggregate(edge, keys, Vec::new());
        for (field, name) in relation.fields.iter_mut().zip(names) {
            field.name = name;
        }
        relation
    }
}

/// Position of a window property among the window columns.
fn position(property: WindowProperty) -> usize {
    match property {
        WindowProperty::Start => WINDOW_START,
        WindowProperty::End => WINDOW_END,
        WindowProperty::Time => WINDOW_TIME,
    }
}

/// Columns of a window aggregation: keys and results are numbered, properties have their names.
fn window_schema(
    types: &[FlinkType],
    first_property: usize,
    properties: &[WindowProperty],
) -> Vec<Column> {
    let mut schema = columns("f", types);
    for (column, property) in schema[first_property..].iter_mut().zip(properties) {
        super::relation::WINDOW_COLUMNS[position(*property)].clone_into(&mut column.name);
    }
    schema
}

/// Columns with numbered names.
fn columns<'a>(prefix: &str, types: impl IntoIterator<Item = &'a FlinkType>) -> Vec<Column> {
    types
        .into_iter()
        .enumerate()
        .map(|(index, ty)| Column {
            name: format!("{prefix}{index}"),
            ty: ty.clone(),
        })
        .collect()
}
