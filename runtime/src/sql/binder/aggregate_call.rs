//! Aggregate functions: their names, arguments and result types.
//!
//! Place in the flow: GROUP BY and OVER bind their calls here. Invariant: a call that passes has Flink's result type, and its
//! arguments are of types that the function takes.

use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, JsonNullClause, NullTreatment,
};

use super::call::function_name;
use super::expression::ExprBinder;
use crate::error::{Error, Result, Span};
use crate::plan::AggregateFunction;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::{is_ordered, resolve};
use crate::sql::typing::{common_type, convert};
use crate::types::{FlinkType, TypeKind};

/// Aggregates of a GROUP BY, and their names.
const GROUPED: [(&str, AggregateFunction); 29] = [
    ("ARRAY_AGG", AggregateFunction::ArrayAgg),
    ("AVG", AggregateFunction::Avg),
    ("BITMAP_AND_AGG", AggregateFunction::BitmapAndAgg),
    (
        "BITMAP_AND_CARDINALITY_AGG",
        AggregateFunction::BitmapAndCardinalityAgg,
    ),
    ("BITMAP_BUILD_AGG", AggregateFunction::BitmapBuildAgg),
    (
        "BITMAP_BUILD_CARDINALITY_AGG",
        AggregateFunction::BitmapBuildCardinalityAgg,
    ),
    ("BITMAP_OR_AGG", AggregateFunction::BitmapOrAgg),
    (
        "BITMAP_OR_CARDINALITY_AGG",
        AggregateFunction::BitmapOrCardinalityAgg,
    ),
    ("BITMAP_XOR_AGG", AggregateFunction::BitmapXorAgg),
    (
        "BITMAP_XOR_CARDINALITY_AGG",
        AggregateFunction::BitmapXorCardinalityAgg,
    ),
    ("COLLECT", AggregateFunction::Collect),
    ("COUNT", AggregateFunction::Count),
    ("FIRST_VALUE", AggregateFunction::FirstValue),
    ("JSON_ARRAYAGG", AggregateFunction::JsonArrayAggAbsentOnNull),
    ("JSON_OBJECTAGG", AggregateFunction::JsonObjectAggNullOnNull),
    ("LAST_VALUE", AggregateFunction::LastValue),
    ("LISTAGG", AggregateFunction::ListAgg),
    ("MAX", AggregateFunction::Max),
    ("MIN", AggregateFunction::Min),
    ("PERCENTILE", AggregateFunction::Percentile),
    ("SINGLE_VALUE", AggregateFunction::SingleValue),
    ("STDDEV", AggregateFunction::StddevSamp),
    ("STDDEV_POP", AggregateFunction::StddevPop),
    ("STDDEV_SAMP", AggregateFunction::StddevSamp),
    ("SUM", AggregateFunction::Sum),
    ("$SUM0", AggregateFunction::Sum0),
    ("VARIANCE", AggregateFunction::VarSamp),
    ("VAR_POP", AggregateFunction::VarPop),
    ("VAR_SAMP", AggregateFunction::VarSamp),
];

/// Functions that only OVER has, and their names.
const OVER_ONLY: [(&str, AggregateFunction); 8] = [
    ("CUME_DIST", AggregateFunction::CumeDist),
    ("DENSE_RANK", AggregateFunction::DenseRank),
    ("LAG", AggregateFunction::Lag),
    ("LEAD", AggregateFunction::Lead),
    ("NTILE", AggregateFunction::Ntile),
    ("PERCENT_RANK", AggregateFunction::PercentRank),
    ("RANK", AggregateFunction::Rank),
    ("ROW_NUMBER", AggregateFunction::RowNumber),
];

/// An aggregate that Flink has for batches only.
const BATCH_ONLY: &str = "APPROX_COUNT_DISTINCT";

/// The aggregate of a name in a GROUP BY.
pub(super) fn grouped_function(name: &str) -> Option<AggregateFunction> {
    let found = GROUPED.iter().find(|(known, _)| *known == name);
    found.map(|(_, function)| *function)
}

/// Names of the aggregates of a GROUP BY that are called by them.
pub(super) fn grouped_names() -> impl Iterator<Item = &'static str> {
    let names = GROUPED.iter().map(|(name, _)| *name);
    names.filter(|name| !name.starts_with('$'))
}

/// Whether a name is that of an aggregate.
pub(super) fn is_aggregate_name(name: &str) -> bool {
    let is_over_only = OVER_ONLY.iter().any(|(known, _)| *known == name);
    grouped_function(name).is_some() || is_over_only || name == BATCH_ONLY
}

/// A call of an aggregate with its arguments bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Called {
    /// Which one.
    pub(super) function: AggregateFunction,
    /// Its arguments; none for `COUNT(*)`.
    pub(super) args: Vec<Expr>,
    /// `FILTER (WHERE ...)`.
    pub(super) filter: Option<Expr>,
    /// `DISTINCT`.
    pub(super) distinct: bool,
    /// Type of its result.
    pub(super) ty: FlinkType,
}

/// The parts of a call as they are written.
struct Written<'a> {
    /// Upper-case name.
    name: String,
    /// Arguments; none for `*`.
    args: Vec<&'a Ast>,
    /// `DISTINCT`.
    distinct: bool,
    /// `NULL ON NULL` or `ABSENT ON NULL`.
    on_null: Option<JsonNullClause>,
    /// `IGNORE NULLS` or `RESPECT NULLS`.
    nulls: Option<NullTreatment>,
}

/// Binds a call of an aggregate; `is_empty_possible` says whether there may be no rows.
///
/// # Errors
/// `Invalid` for arguments that the aggregate does not take.
pub(super) fn bind_call(
    call: &Function,
    mut binder: ExprBinder<'_>,
    is_empty_possible: bool,
    span: Span,
) -> Result<Called> {
    let written = written(call).map_err(|error| error.with_span(span))?;
    let is_over = call.over.is_some();
    let function = function(&written, is_over).map_err(|error| error.with_span(span))?;
    let mut args = written
        .args
        .iter()
        .map(|ast| binder.bind(ast))
        .collect::<Result<Vec<Expr>>>()?;
    let filter = call
        .filter
        .as_deref()
        .map(|ast| binder.bind_condition(ast, "FILTER"))
        .transpose()?;
    let may_be_empty = is_empty_possible || filter.is_some();
    let ty = result_type(function, &mut args, may_be_empty, &written.name)
        .map_err(|error| error.with_span(span))?;
    check_literals(function, &args)?;
    json_values(function, &mut args)?;
    // The smallest of distinct values is the smallest of all values.
    let distinct =
        written.distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
    if distinct {
        check_distinct(&args, &written.name).map_err(|error| error.with_span(span))?;
    }
    Ok(Called {
        function,
        args,
        filter,
        distinct,
        ty,
    })
}

/// Refuses a separator that is no literal.
///
/// # Source
/// Flink: `LISTAGG`.
fn check_literals(function: AggregateFunction, args: &[Expr]) -> Result<()> {
    match args.get(1) {
        Some(separator)
            if function == AggregateFunction::ListAgg
                && !matches!(separator.kind, ExprKind::Literal(Literal::String(_))) =>
        {
            let error = Error::validation("the separator of LISTAGG must be a literal");
            Err(error.with_span(separator.span))
        }
        _ => Ok(()),
    }
}

/// Makes the values of JSON aggregates JSON.
///
/// # Source
/// Flink: `WrapJsonAggFunctionArgumentsRule`.
fn json_values(function: AggregateFunction, args: &mut [Expr]) -> Result<()> {
    use AggregateFunction as F;
    let value = match function {
        F::JsonArrayAggNullOnNull | F::JsonArrayAggAbsentOnNull => args.first_mut(),
        F::JsonObjectAggNullOnNull | F::JsonObjectAggAbsentOnNull => args.get_mut(1),
        _ => None,
    };
    if let Some(value) = value {
        let span = value.span;
        *value = resolve("JSON_STRING", vec![value.clone()], span)?;
    }
    Ok(())
}

/// Refuses DISTINCT of types that Flink does not tell apart.
///
/// # Source
/// Flink 2.3: "Distinct aggregate function does not support type".
fn check_distinct(args: &[Expr], name: &str) -> Result<()> {
    let is_refused = |kind: &TypeKind| {
        kind.is_binary()
            || matches!(
                kind,
                TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_)
            )
    };
    match args.first() {
        Some(arg) if is_refused(&arg.ty.kind) => Err(Error::unsupported(format!(
            "{name} of DISTINCT values of type {}, as in Flink",
            arg.ty.kind
        ))),
        _ => Ok(()),
    }
}

/// The function of a call.
fn function(written: &Written<'_>, is_over: bool) -> Result<AggregateFunction> {
    use AggregateFunction as F;
    let name = written.name.as_str();
    let over = OVER_ONLY.iter().find(|(known, _)| *known == name);
    let function = match (grouped_function(name), over) {
        (Some(function), _) => function,
        (None, Some((_, function))) if is_over => *function,
        (None, Some(_)) => {
            return Err(Error::validation(format!(
                "OVER clause is necessary for {name}"
            )));
        }
        (None, None) if name == BATCH_ONLY => {
            return Err(Error::unsupported(
                "APPROX_COUNT_DISTINCT on streams, as in Flink; COUNT(DISTINCT ...) is exact",
            ));
        }
        (None, None) => {
            return Err(Error::unsupported(format!("the aggregate {name}")));
        }
    };
    Ok(match (function, &written.on_null, &written.nulls) {
        (F::JsonArrayAggAbsentOnNull, Some(JsonNullClause::NullOnNull), None) => {
            F::JsonArrayAggNullOnNull
        }
        (F::JsonObjectAggNullOnNull, Some(JsonNullClause::AbsentOnNull), None) => {
            F::JsonObjectAggAbsentOnNull
        }
        (function, None, None)
        | (function @ (F::JsonArrayAggAbsentOnNull | F::JsonObjectAggNullOnNull), Some(_), None)
        | (function @ F::ArrayAgg, None, Some(NullTreatment::RespectNulls)) => function,
        (F::ArrayAgg, None, Some(NullTreatment::IgnoreNulls)) => F::ArrayAggIgnoreNulls,
        (F::FirstValue | F::LastValue, None, Some(_)) => {
            return Err(Error::validation(format!(
                "{name} leaves NULLs out in any case: write it without IGNORE NULLS and RESPECT NULLS"
            )));
        }
        (_, None, Some(_)) => {
            return Err(Error::validation(format!(
                "{name} takes neither IGNORE NULLS nor RESPECT NULLS; ARRAY_AGG does"
            )));
        }
        (_, Some(_), _) => {
            return Err(Error::validation(format!(
                "{name} takes neither NULL ON NULL nor ABSENT ON NULL"
            )));
        }
    })
}

/// Takes a call apart.
fn written(call: &Function) -> Result<Written<'_>> {
    let name = function_name(&call.name)?;
    if !call.within_group.is_empty() {
        return Err(Error::unsupported(format!("WITHIN GROUP of {name}")));
    }
    let mut written = Written {
        args: Vec::new(),
        distinct: false,
        on_null: None,
        nulls: call.null_treatment,
        name,
    };
    let name = &written.name;
    let list = match &call.args {
        FunctionArguments::List(list) => list,
        FunctionArguments::None => return Ok(written),
        FunctionArguments::Subquery(_) => {
            return Err(Error::unsupported(format!(
                "a sub-query as argument of {name}"
            )));
        }
    };
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::JsonNullClause(on_null) => {
                written.on_null = Some(on_null.clone());
            }
            FunctionArgumentClause::IgnoreOrRespectNulls(nulls) => written.nulls = Some(*nulls),
            _ => {
                return Err(Error::unsupported(format!(
                    "clauses in the arguments of {name}"
                )));
            }
        }
    }
    written.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                if name == "COUNT" && !written.distinct && list.args.len() == 1 => {}
            FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => written.args.push(ast),
            _ => {
                return Err(Error::type_mismatch(format!(
                    "{name} does not take the argument {arg}"
                )));
            }
        }
    }
    Ok(written)
}

/// The type of an aggregate's result; checks the arguments and converts them to what the aggregate takes.
///
/// # Source
/// Flink: `LogicalTypeMerging.findSumAggType` and `findAvgAggType`; nullability by Calcite's `AGG_SUM` and
/// `ARG0_NULLABLE_IF_EMPTY`; for the others the type strategies of `BuiltInFunctionDefinitions`.
fn result_type(
    function: AggregateFunction,
    args: &mut [Expr],
    may_be_empty: bool,
    name: &str,
) -> Result<FlinkType> {
    use AggregateFunction as F;
    check_count(function, args.len(), name)?;
    let first = args.first().map(|arg| arg.ty.clone());
    let nullable = first.as_ref().is_some_and(|ty| ty.nullable) || may_be_empty;
    let kind = first.map_or(TypeKind::Null, |ty| ty.kind);
    let mismatch = || {
        let types: Vec<String> = args.iter().map(|arg| arg.ty.to_string()).collect();
        Err(Error::type_mismatch(format!(
            "{name} does not take {}",
            types.join(", ")
        )))
    };
    Ok(match function {
        F::Count | F::RowNumber | F::Rank | F::DenseRank => TypeKind::BigInt.not_null(),
        F::PercentRank | F::CumeDist => TypeKind::Double.not_null(),
        F::Ntile if kind.is_integer() => TypeKind::BigInt.not_null(),
        F::Sum | F::Sum0 | F::Avg if !kind.is_numeric() => return mismatch(),
        F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp if !kind.is_numeric() => {
            return mismatch();
        }
        F::Sum => sum_kind(&kind).with_nullable(nullable),
        F::Sum0 => sum_kind(&kind).not_null(),
        F::Avg | F::StddevPop | F::VarPop => average_kind(&kind).with_nullable(nullable),
        // One row has no sample variance.
        F::StddevSamp | F::VarSamp => average_kind(&kind).nullable(),
        F::Min | F::Max if !has_extremes(&kind) => return mismatch(),
        F::Min | F::Max | F::FirstValue | F::LastValue => kind.with_nullable(nullable),
        F::SingleValue if !is_single(&kind) => return mismatch(),
        F::SingleValue => kind.nullable(),
        F::ListAgg if args.iter().any(|arg| !is_text(&arg.ty.kind)) => return mismatch(),
        F::ListAgg => TypeKind::string().with_nullable(nullable),
        F::Collect => TypeKind::Multiset(Box::new(args[0].ty.clone())).not_null(),
        F::ArrayAgg | F::ArrayAggIgnoreNulls => {
            TypeKind::Array(Box::new(args[0].ty.clone())).nullable()
        }
        F::JsonObjectAggNullOnNull | F::JsonObjectAggAbsentOnNull if !is_text(&kind) => {
            return mismatch();
        }
        F::JsonObjectAggNullOnNull
        | F::JsonObjectAggAbsentOnNull
        | F::JsonArrayAggNullOnNull
        | F::JsonArrayAggAbsentOnNull => TypeKind::string().not_null(),
        F::Percentile => return percentile(args, name),
        F::Lag | F::Lead => return lag(args, name),
        F::BitmapBuildAgg | F::BitmapBuildCardinalityAgg if kind != TypeKind::Int => {
            return mismatch();
        }
        F::BitmapAndAgg
        | F::BitmapAndCardinalityAgg
        | F::BitmapOrAgg
        | F::BitmapOrCardinalityAgg
        | F::BitmapXorAgg
        | F::BitmapXorCardinalityAgg
            if kind != TypeKind::Bitmap =>
        {
            return mismatch();
        }
        F::BitmapBuildAgg | F::BitmapAndAgg | F::BitmapOrAgg | F::BitmapXorAgg => {
            TypeKind::Bitmap.nullable()
        }
        F::BitmapBuildCardinalityAgg
        | F::BitmapAndCardinalityAgg
        | F::BitmapOrCardinalityAgg
        | F::BitmapXorCardinalityAgg => TypeKind::BigInt.nullable(),
        F::BoolOr | F::Ntile => return mismatch(),
    })
}

/// Refuses a number of arguments that an aggregate does not take.
fn check_count(function: AggregateFunction, count: usize, name: &str) -> Result<()> {
    use AggregateFunction as F;
    let (min, max) = match function {
        F::Count if count > 1 => {
            return Err(Error::unsupported(
                "COUNT of several columns, as in Flink; count one column that is NULL when any of them is: COUNT(CASE WHEN a IS NOT NULL THEN b END), COUNT(DISTINCT JSON_ARRAY(a, b))",
            ));
        }
        F::Count => (0, 1),
        F::RowNumber | F::Rank | F::DenseRank | F::PercentRank | F::CumeDist => (0, 0),
        F::ListAgg => (1, 2),
        F::JsonObjectAggNullOnNull | F::JsonObjectAggAbsentOnNull => (2, 2),
        F::Percentile => (2, 3),
        F::Lag | F::Lead => (1, 3),
        F::Sum
        | F::Sum0
        | F::Avg
        | F::Min
        | F::Max
        | F::StddevPop
        | F::StddevSamp
        | F::VarPop
        | F::VarSamp
        | F::Collect
        | F::ArrayAgg
        | F::ArrayAggIgnoreNulls
        | F::FirstValue
        | F::LastValue
        | F::JsonArrayAggNullOnNull
        | F::JsonArrayAggAbsentOnNull
        | F::SingleValue
        | F::BoolOr
        | F::BitmapBuildAgg
        | F::BitmapAndAgg
        | F::BitmapOrAgg
        | F::BitmapXorAgg
        | F::BitmapBuildCardinalityAgg
        | F::BitmapAndCardinalityAgg
        | F::BitmapOrCardinalityAgg
        | F::BitmapXorCardinalityAgg
        | F::Ntile => (1, 1),
    };
    if (min..=max).contains(&count) {
        return Ok(());
    }
    let wanted = match (min, max) {
        (1, 1) => "one argument".to_owned(),
        (min, max) if min == max => format!("{min} arguments"),
        (min, max) => format!("{min} to {max} arguments"),
    };
    Err(Error::type_mismatch(format!("{name} takes {wanted}")))
}

/// The type of a sum.
fn sum_kind(kind: &TypeKind) -> TypeKind {
    match kind {
        TypeKind::Decimal { scale, .. } => TypeKind::Decimal {
            precision: 38,
            scale: *scale,
        },
        kind => kind.clone(),
    }
}

/// The type of an average.
fn average_kind(kind: &TypeKind) -> TypeKind {
    match kind {
        TypeKind::Decimal { scale, .. } => TypeKind::Decimal {
            precision: 38,
            scale: (*scale).max(6),
        },
        kind => kind.clone(),
    }
}

/// Whether values have an order that MIN and MAX go by.
fn has_extremes(kind: &TypeKind) -> bool {
    is_ordered(kind) && !kind.is_binary() && !matches!(kind, TypeKind::Variant | TypeKind::Null)
}

/// Whether `SINGLE_VALUE` takes a type.
///
/// # Source
/// Flink 2.3: "`SINGLE_VALUE` aggregate function doesn't support type".
fn is_single(kind: &TypeKind) -> bool {
    kind.is_numeric()
        || kind.is_character()
        || matches!(
            kind,
            TypeKind::Boolean
                | TypeKind::Date
                | TypeKind::Time(_)
                | TypeKind::Timestamp(_)
                | TypeKind::TimestampLtz(_)
        )
}

/// Whether values are texts or NULL.
fn is_text(kind: &TypeKind) -> bool {
    kind.is_character() || *kind == TypeKind::Null
}

/// The type of PERCENTILE: one percentage, or an array of them.
fn percentile(args: &mut [Expr], name: &str) -> Result<FlinkType> {
    let refuse = || {
        Err(Error::type_mismatch(format!(
            "{name} takes a number, a percentage from 0 to 1 or an array of them, and a whole number of times"
        )))
    };
    let is_number = |kind: &TypeKind| kind.is_numeric() || *kind == TypeKind::Null;
    let percentage = args[1].ty.clone();
    let result = match &percentage.kind {
        kind if kind.is_numeric() && !percentage.nullable => TypeKind::Double.nullable(),
        TypeKind::Array(element)
            if element.kind.is_numeric() && !element.nullable && !percentage.nullable =>
        {
            TypeKind::Array(Box::new(TypeKind::Double.nullable())).nullable()
        }
        _ => return refuse(),
    };
    let times_fit = args.get(2).is_none_or(|times| times.ty.kind.is_integer());
    let in_range = number(&args[1]).is_none_or(|value| (0.0..=1.0).contains(&value));
    if !is_number(&args[0].ty.kind) || !times_fit || !in_range {
        return refuse();
    }
    Ok(result)
}

/// The value of a number that is written out.
fn number(expr: &Expr) -> Option<f64> {
    match (&expr.kind, &expr.ty.kind) {
        (ExprKind::Literal(Literal::Double(value)), _) => Some(*value),
        (ExprKind::Literal(Literal::Integer(value)), _) => value.to_string().parse().ok(),
        (ExprKind::Literal(Literal::Decimal(value)), TypeKind::Decimal { scale, .. }) => {
            let value: f64 = value.to_string().parse().ok()?;
            Some(value / 10_f64.powi(i32::from(*scale)))
        }
        (ExprKind::Cast { input, .. }, _) => number(input),
        _ => None,
    }
}

/// The type of LAG and LEAD: that of the value; not NULL only with a default that is not NULL.
fn lag(args: &mut [Expr], name: &str) -> Result<FlinkType> {
    if args
        .get(1)
        .is_some_and(|offset| !offset.ty.kind.is_integer())
    {
        return Err(
            Error::type_mismatch(format!("{name} takes a whole number of rows"))
                .with_span(args[1].span),
        );
    }
    let Some(default) = args.get(2) else {
        return Ok(args[0].ty.with_nullable(true));
    };
    let common = common_type(&[&args[0].ty, &default.ty]).ok_or_else(|| {
        Error::type_mismatch(format!(
            "the default of {name} is {}, the value {}",
            default.ty, args[0].ty
        ))
        .with_span(default.span)
    })?;
    args[0] = convert(args[0].clone(), &common.kind);
    args[2] = convert(args[2].clone(), &common.kind);
    Ok(common)
}
