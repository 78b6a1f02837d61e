//! `PERCENTILE`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: results are exact: every value is kept with its copies, and a
//! percentage that falls between two of them is interpolated between them.
//!
//! # Source
//! Flink 2.3: `PercentileAggFunction`. The percentages of a group are those of its first row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, NullBufferBuilder};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use crate::error::{Error, Result};
use crate::operator::aggregate::multiset::Multisets;
use crate::operator::aggregate::values::{Conversion, arrays, offsets};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::{FlinkType, TypeKind};

/// The percentages of a group, shared by those that have the same.
type Percentages = Option<Arc<[f64]>>;

/// The values of all groups.
#[derive(Debug)]
pub(super) struct Percentiles {
    /// Values of each group in order.
    values: Multisets<u64>,
    /// Percentages of each group.
    percentages: Vec<Percentages>,
    /// Those that were met last.
    latest: Percentages,
    /// From the value to doubles.
    value: Conversion,
    /// From the percentage to doubles, or to an array of them.
    percentage: Conversion,
    /// From the number of times to BIGINT; absent when every value counts once.
    times: Option<Conversion>,
    /// Result type.
    ty: DataType,
}

impl Percentiles {
    /// No values yet; the arguments are value, percentage and times.
    ///
    /// # Errors
    /// `Internal` for other arguments than the binder lets through.
    pub(super) fn new(arguments: &[&FlinkType], result: &FlinkType) -> Result<Self> {
        let [value, percentage, times @ ..] = arguments else {
            return Err(Error::internal("PERCENTILE without a percentage"));
        };
        let double = TypeKind::Double;
        let percentage_kind = match &percentage.kind {
            TypeKind::Array(_) => TypeKind::Array(Box::new(double.clone().not_null())),
            _ => double.clone(),
        };
        let times = times.first();
        let times = times.map(|times| Conversion::new(times, &TypeKind::BigInt));
        Ok(Self {
            values: Multisets::default(),
            percentages: Vec::new(),
            latest: None,
            value: Conversion::new(value, &double)?,
            percentage: Conversion::new(percentage, &percentage_kind)?,
            times: times.transpose()?,
            ty: result.to_arrow()?,
        })
    }

    /// Gives a group its percentages, unless it has some.
    fn learn(&mut self, group: usize, column: &ArrayRef, row: usize) -> Result<()> {
        if self.percentages[group].is_some() {
            return Ok(());
        }
        let of_row = match column.as_list_opt::<i32>() {
            Some(lists) => lists.value(row),
            None => column.slice(row, 1),
        };
        let own = of_row.as_primitive::<Float64Type>().values();
        let is_known = self.latest.as_ref().is_some_and(|known| **known == **own);
        if !is_known {
            if let Some(wrong) = own.iter().find(|value| !(0.0..=1.0).contains(*value)) {
                return Err(Error::arithmetic(format!(
                    "a percentage of PERCENTILE is from 0 to 1, not {wrong:?}"
                )));
            }
            self.latest = Some(Arc::from(&own[..]));
        }
        self.percentages[group].clone_from(&self.latest);
        Ok(())
    }

    /// The results of a group, one for each percentage; none without values.
    fn results(&self, group: u32) -> Option<Vec<f64>> {
        let percentages = self.percentages[group as usize].as_ref()?;
        let values: Vec<(f64, i64)> = self.values.of(group).iter().map(decoded).collect();
        let total: i64 = values
            .iter()
            .fold(0, |sum, (_, count)| sum.wrapping_add(*count));
        (total > 0 && !percentages.is_empty()).then(|| {
            let of = |percentage: &f64| interpolated(&values, *percentage, total);
            percentages.iter().map(of).collect()
        })
    }
}

/// A value of a multiset with its copies.
fn decoded((bits, count): (&u64, i64)) -> (f64, i64) {
    let bits = if bits >> 63 == 1 {
        bits & !(1 << 63)
    } else {
        !bits
    };
    (f64::from_bits(bits), count)
}

/// Bits whose order is that of the values, all NaNs being one.
fn encoded(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN } else { value }.to_bits();
    if bits >> 63 == 0 {
        bits | (1 << 63)
    } else {
        !bits
    }
}

/// The value at a percentage of ordered values with their copies, which are `total` in all.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "positions are doubles here, as in Flink"
)]
fn interpolated(values: &[(f64, i64)], percentage: f64, total: i64) -> f64 {
    let position = percentage * (total - 1) as f64 + 1.0;
    let (lower, higher) = (position.floor(), position.ceil());
    let mut passed = 0_i64;
    for (index, (value, count)) in values.iter().enumerate() {
        passed = passed.wrapping_add(*count);
        if passed < lower as i64 {
            continue;
        }
        let next = values.get(index + 1);
        return match next {
            Some((next, _)) if passed < higher as i64 => {
                (higher - position) * value + (position - lower) * next
            }
            _ => *value,
        };
    }
    values.last().map_or(f64::NAN, |(value, _)| *value)
}

impl Accumulator for Percentiles {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        column::resize(&mut self.percentages, groups, None);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let doubles = self.value.apply(rows.argument()?)?;
        let doubles = doubles.as_primitive::<Float64Type>();
        let percentages = self.percentage.apply(rows.further(0)?)?;
        let times = self.times.as_ref();
        let times = times
            .map(|times| times.apply(rows.further(1)?))
            .transpose()?;
        let times = times.as_ref().map(AsArray::as_primitive::<Int64Type>);
        let mut learned = Ok(());
        rows.for_each_row(|row, group, is_retraction| {
            if learned.is_err() {
                return;
            }
            if !is_retraction {
                learned = self.learn(group, &percentages, row);
            }
            let times = times.map_or(1, |times| {
                if times.is_valid(row) {
                    times.value(row)
                } else {
                    0
                }
            });
            if doubles.is_valid(row) && times > 0 {
                let change = if is_retraction { -times } else { times };
                self.values.add(group, &encoded(doubles.value(row)), change);
            }
        });
        learned
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.values.merge(*into, other.values.of(*from));
            let percentages = &mut self.percentages[*into as usize];
            if percentages.is_none() {
                percentages.clone_from(&other.percentages[*from as usize]);
            }
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results: Vec<_> = groups.iter().map(|group| self.results(*group)).collect();
        if !matches!(self.ty, DataType::List(_)) {
            let of = |results: &Option<Vec<f64>>| results.as_ref()?.first().copied();
            let single: Float64Array = results.iter().map(of).collect();
            return Ok(Arc::new(single));
        }
        let counts = results
            .iter()
            .map(|results| results.as_ref().map_or(0, Vec::len));
        let offsets = offsets(counts)?;
        let mut nulls = NullBufferBuilder::new(groups.len());
        for results in &results {
            nulls.append(results.is_some());
        }
        let values = Float64Array::from_iter_values(results.into_iter().flatten().flatten());
        arrays(&self.ty, offsets, Arc::new(values), nulls.finish())
    }

    fn clear(&mut self, group: u32) {
        self.values.clear(group);
        self.percentages[group as usize] = None;
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.values.write(group, out);
        let percentages = self.percentages[group as usize].as_deref();
        let count = percentages.map_or(u32::MAX, |own| u32::try_from(own.len()).unwrap_or(0));
        out.put_u32(count);
        for percentage in percentages.unwrap_or_default() {
            out.put_i64(percentage.to_bits().cast_signed());
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.values.read(group, input)?;
        let count = input.u32()?;
        if count == u32::MAX {
            return Ok(());
        }
        let mut own = Vec::new();
        for _ in 0..count {
            own.push(f64::from_bits(input.i64()?.cast_unsigned()));
        }
        if self.latest.as_deref() != Some(&own) {
            self.latest = Some(own.into());
        }
        self.percentages[group as usize].clone_from(&self.latest);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.percentages.capacity() * size_of::<Percentages>()
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::aggregate::multiset::Multiset;

    #[test]
    fn percentages_fall_between_values() {
        let mut values = Multiset::<u64>::default();
        for (value, count) in [(4.0, 1), (-2.0, 2), (f64::NAN, 1)] {
            values.add(&encoded(value), count);
        }
        let values: Vec<(f64, i64)> = values.iter().map(decoded).collect();
        assert_eq!(values[..2], [(-2.0, 2), (4.0, 1)]);
        assert!(values[2].0.is_nan());
        for (percentage, expected) in [(0.0, -2.0), (0.3, -2.0), (0.5, 1.0), (2.0 / 3.0, 4.0)] {
            let result = interpolated(&values, percentage, 4);
            assert_eq!(result.to_bits(), f64::to_bits(expected), "{percentage}");
        }
        assert!(interpolated(&values, 1.0, 4).is_nan());
        // Values that were taken away before they came do not lead past the end.
        let result = interpolated(&[(1.0, 3), (2.0, -1)], 1.0, 2);
        assert_eq!(result.to_bits(), 1.0_f64.to_bits());
    }
}
