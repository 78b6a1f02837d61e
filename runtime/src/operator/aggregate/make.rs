//! From a call of the plan to its accumulator.
//!
//! Place in the flow: [`super::Aggregates`] asks for one accumulator per call. Invariant: what [`missing`] does not name is made.

use crate::error::{Error, Result};
use crate::operator::aggregate::distinct::{Distinct, Order};
use crate::operator::aggregate::extreme::Side;
use crate::operator::aggregate::json_object::Objects;
use crate::operator::aggregate::list::{Lists, Nulls, Output};
use crate::operator::aggregate::percentile::Percentiles;
use crate::operator::aggregate::single_value::SingleValues;
use crate::operator::aggregate::{
    Accumulator, average, bitmap, collect, count, extreme, first_last, moments, sum,
};
use crate::plan::{AggregateCall, AggregateFunction};
use crate::types::FlinkType;

/// Which function of a call GROUP BY and windows have no accumulator for.
pub fn missing(call: &AggregateCall) -> Option<AggregateFunction> {
    use AggregateFunction as F;
    let is_missing = matches!(
        call.function,
        F::Lag
            | F::Lead
            | F::RowNumber
            | F::Rank
            | F::DenseRank
            | F::PercentRank
            | F::CumeDist
            | F::Ntile
    );
    is_missing.then_some(call.function)
}

/// The accumulator of one call.
///
/// # Errors
/// `Unsupported` for argument types that the aggregate does not take; `Internal` for arguments that are missing.
pub(super) fn accumulator(
    call: &AggregateCall,
    input: &[FlinkType],
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    let columns = call.argument.iter().chain(&call.further);
    let arguments: Vec<&FlinkType> = columns.map(|column| &input[*column]).collect();
    let inner = plain(call, &arguments, retracts)?;
    if !call.distinct || arguments.is_empty() {
        return Ok(inner);
    }
    let (arguments, nulls) = match call.function {
        // The separator is the same for all rows.
        AggregateFunction::ListAgg => (&arguments[..1], Nulls::Skip),
        AggregateFunction::ArrayAgg => (&arguments[..], Nulls::Keep),
        _ => (&arguments[..], Nulls::Skip),
    };
    let order = match call.function {
        AggregateFunction::ListAgg
        | AggregateFunction::ArrayAgg
        | AggregateFunction::ArrayAggIgnoreNulls
        | AggregateFunction::FirstValue
        | AggregateFunction::LastValue
        | AggregateFunction::JsonArrayAggNullOnNull
        | AggregateFunction::JsonArrayAggAbsentOnNull => Order::Kept,
        _ => Order::Any,
    };
    Ok(Box::new(Distinct::new(inner, arguments, (nulls, order))?))
}

/// The accumulator of a call without DISTINCT.
fn plain(
    call: &AggregateCall,
    arguments: &[&FlinkType],
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let function = call.function;
    if function == F::Count {
        return Ok(Box::new(count::Count::default()));
    }
    let Some(argument) = arguments.first().copied() else {
        return Err(Error::internal(format!("{function:?} without an argument")));
    };
    let list = |output, nulls| Ok(Box::new(Lists::new(argument, output, nulls)?) as _);
    let object = |nulls| {
        let value = arguments.get(1).copied();
        let value = value.ok_or_else(|| Error::internal("JSON_OBJECTAGG without a value"))?;
        Ok(Box::new(Objects::new((argument, value), nulls)?) as _)
    };
    match function {
        F::Sum => sum::accumulator(argument, &call.ty, sum::Empty::Null),
        F::Sum0 => sum::accumulator(argument, &call.ty, sum::Empty::Zero),
        F::Avg => average::accumulator(argument, &call.ty),
        F::Min => extreme::accumulator(argument, Side::Min, retracts),
        F::Max | F::BoolOr => extreme::accumulator(argument, Side::Max, retracts),
        F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp => {
            moments::accumulator(function, argument, &call.ty)
        }
        F::FirstValue => first_last::accumulator(argument, Side::First, retracts),
        F::LastValue => first_last::accumulator(argument, Side::Last, retracts),
        F::ArrayAgg => list(Output::Array(call.ty.to_arrow()?), Nulls::Keep),
        F::ArrayAggIgnoreNulls => list(Output::Array(call.ty.to_arrow()?), Nulls::Skip),
        F::ListAgg => list(Output::Text { separator: None }, Nulls::Skip),
        F::JsonArrayAggNullOnNull => list(Output::Json, Nulls::Keep),
        F::JsonArrayAggAbsentOnNull => list(Output::Json, Nulls::Skip),
        F::JsonObjectAggNullOnNull => object(Nulls::Keep),
        F::JsonObjectAggAbsentOnNull => object(Nulls::Skip),
        F::Collect => collect::accumulator(argument, &call.ty),
        F::Percentile => Ok(Box::new(Percentiles::new(arguments, &call.ty)?)),
        F::SingleValue => Ok(Box::new(SingleValues::new(argument)?)),
        F::BitmapBuildAgg
        | F::BitmapBuildCardinalityAgg
        | F::BitmapAndAgg
        | F::BitmapAndCardinalityAgg
        | F::BitmapOrAgg
        | F::BitmapOrCardinalityAgg
        | F::BitmapXorAgg
        | F::BitmapXorCardinalityAgg => bitmap::accumulator(function, &call.ty, retracts),
        F::Count
        | F::Lag
        | F::Lead
        | F::RowNumber
        | F::Rank
        | F::DenseRank
        | F::PercentRank
        | F::CumeDist
        | F::Ntile => Err(Error::internal(format!("{function:?} in a GROUP BY"))),
    }
}
