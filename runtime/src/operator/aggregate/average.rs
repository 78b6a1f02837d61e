//! `AVG`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: NULL until a row counts; integers divide like Java's
//! integers, decimals round half up to the result's scale.
//!
//! # Source
//! Flink's `AvgAggFunction`: the sum is BIGINT for integers, DOUBLE for floats, DECIMAL(38, s) for decimals.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

use crate::error::{Error, Result};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::{FlinkType, TypeKind};

/// The averages of all groups.
#[derive(Debug)]
struct Averages {
    /// Sum of each group.
    sums: Sums,
    /// Values of each sum.
    counts: Vec<i64>,
    /// Result type.
    result: FlinkType,
    /// Digits to add to the argument's scale to reach the result's.
    scale_up: u32,
}

/// Sums by kind of argument.
#[derive(Debug)]
enum Sums {
    /// Integers, wrapping.
    Integer(Vec<i64>),
    /// Floats.
    Double(Vec<f64>),
    /// Unscaled decimals; absent past 38 digits.
    Decimal(Vec<Option<i128>>),
}

/// The accumulator of `AVG` over an argument type.
///
/// # Errors
/// `Unsupported` for an argument that is not a number.
pub(super) fn accumulator(
    argument: &FlinkType,
    result: &FlinkType,
) -> Result<Box<dyn Accumulator>> {
    let scale = |ty: &FlinkType| match ty.kind {
        TypeKind::Decimal { scale, .. } => u32::from(scale),
        _ => 0,
    };
    let sums = match &argument.kind {
        kind if kind.is_integer() => Sums::Integer(Vec::new()),
        TypeKind::Float | TypeKind::Double => Sums::Double(Vec::new()),
        TypeKind::Decimal { .. } => Sums::Decimal(Vec::new()),
        other => return Err(Error::unsupported(format!("AVG of {other}"))),
    };
    let scale_up = scale(result).saturating_sub(scale(argument));
    Ok(Box::new(Averages {
        sums,
        counts: Vec::new(),
        result: result.clone(),
        scale_up,
    }))
}

/// `sum * 10^scale_up / count`, rounded half up; absent on overflow.
fn divide_decimal(sum: i128, count: i64, scale_up: u32) -> Option<i128> {
    let scaled = sum.checked_mul(10i128.checked_pow(scale_up)?)?;
    let count = i128::from(count);
    let (quotient, rest) = (scaled / count, scaled % count);
    let round = if rest.unsigned_abs() * 2 >= count.unsigned_abs() {
        scaled.signum() * count.signum()
    } else {
        0
    };
    Some(quotient + round)
}

impl Averages {
    /// The average of a group of integers.
    fn integer(&self, sums: &[i64], group: u32) -> Option<i64> {
        let count = self.counts[group as usize];
        (count != 0).then(|| sums[group as usize].wrapping_div(count))
    }
}

impl Accumulator for Averages {
    fn resize(&mut self, groups: usize) {
        match &mut self.sums {
            Sums::Integer(sums) => column::resize(sums, groups, 0),
            Sums::Double(sums) => column::resize(sums, groups, 0.0),
            Sums::Decimal(sums) => column::resize(sums, groups, Some(0)),
        }
        column::resize(&mut self.counts, groups, 0);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows
            .argument
            .ok_or_else(|| Error::internal("AVG without an argument"))?;
        let counts = &mut self.counts;
        let mut count =
            |group: usize, is_retraction: bool| counts[group] += if is_retraction { -1 } else { 1 };
        match &mut self.sums {
            Sums::Integer(sums) => {
                let longs = arrow::compute::cast(argument, &DataType::Int64)?;
                let values = longs.as_primitive::<Int64Type>().values();
                rows.for_each(|row, group, is_retraction| {
                    let value = if is_retraction {
                        values[row].wrapping_neg()
                    } else {
                        values[row]
                    };
                    sums[group] = sums[group].wrapping_add(value);
                    count(group, is_retraction);
                });
            }
            Sums::Double(sums) => {
                let doubles = arrow::compute::cast(argument, &DataType::Float64)?;
                let values = doubles.as_primitive::<Float64Type>().values();
                rows.for_each(|row, group, is_retraction| {
                    sums[group] += if is_retraction {
                        -values[row]
                    } else {
                        values[row]
                    };
                    count(group, is_retraction);
                });
            }
            Sums::Decimal(sums) => {
                let values = argument.as_primitive::<Decimal128Type>().values();
                rows.for_each(|row, group, is_retraction| {
                    let value = if is_retraction {
                        -values[row]
                    } else {
                        values[row]
                    };
                    sums[group] = sums[group].and_then(|sum| sum.checked_add(value));
                    count(group, is_retraction);
                });
            }
        }
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            let (into, from) = (*into as usize, *from as usize);
            self.counts[into] += other.counts[from];
            match (&mut self.sums, &other.sums) {
                (Sums::Integer(sums), Sums::Integer(other)) => {
                    sums[into] = sums[into].wrapping_add(other[from]);
                }
                (Sums::Double(sums), Sums::Double(other)) => sums[into] += other[from],
                (Sums::Decimal(sums), Sums::Decimal(other)) => {
                    let pair = sums[into].zip(other[from]);
                    sums[into] = pair.and_then(|(sum, other)| sum.checked_add(other));
                }
                (Sums::Integer(_) | Sums::Double(_) | Sums::Decimal(_), _) => {
                    return Err(Error::internal("averages of different types"));
                }
            }
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "AVG of floats divides by the count as a double, as Flink does"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an average of values of a type fits that type"
    )]
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(match &self.sums {
            Sums::Integer(sums) => {
                let values = groups.iter().map(|group| self.integer(sums, *group));
                match self.result.kind {
                    TypeKind::TinyInt => {
                        Arc::new(values.map(|v| v.map(|v| v as i8)).collect::<Int8Array>())
                    }
                    TypeKind::SmallInt => {
                        Arc::new(values.map(|v| v.map(|v| v as i16)).collect::<Int16Array>())
                    }
                    TypeKind::Int => {
                        Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<Int32Array>())
                    }
                    _ => Arc::new(values.collect::<Int64Array>()),
                }
            }
            Sums::Double(sums) => {
                let values = groups.iter().map(|group| {
                    let count = self.counts[*group as usize];
                    (count != 0).then(|| sums[*group as usize] / count as f64)
                });
                match self.result.kind {
                    TypeKind::Float => Arc::new(
                        values
                            .map(|v| v.map(|v| v as f32))
                            .collect::<Float32Array>(),
                    ),
                    _ => Arc::new(values.collect::<Float64Array>()),
                }
            }
            Sums::Decimal(sums) => {
                let values = groups.iter().map(|group| {
                    let count = self.counts[*group as usize];
                    let sum = sums[*group as usize].filter(|_| count != 0)?;
                    divide_decimal(sum, count, self.scale_up)
                });
                let array: Decimal128Array = values.collect();
                match self.result.kind {
                    TypeKind::Decimal { precision, scale } => {
                        Arc::new(array.with_precision_and_scale(precision, scale.cast_signed())?)
                    }
                    _ => Arc::new(array),
                }
            }
        })
    }

    fn clear(&mut self, group: u32) {
        let group = group as usize;
        match &mut self.sums {
            Sums::Integer(sums) => sums[group] = 0,
            Sums::Double(sums) => sums[group] = 0.0,
            Sums::Decimal(sums) => sums[group] = Some(0),
        }
        self.counts[group] = 0;
    }

    fn reset(&mut self) -> bool {
        match &mut self.sums {
            Sums::Integer(sums) => sums.clear(),
            Sums::Double(sums) => sums.clear(),
            Sums::Decimal(sums) => sums.clear(),
        }
        self.counts.clear();
        true
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let group = group as usize;
        out.put_i64(self.counts[group]);
        match &self.sums {
            Sums::Integer(sums) => out.put_i64(sums[group]),
            Sums::Double(sums) => out.put_i64(sums[group].to_bits().cast_signed()),
            Sums::Decimal(sums) => out.put_i128(sums[group].unwrap_or(i128::MAX)),
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let group = group as usize;
        self.counts[group] = input.i64()?;
        match &mut self.sums {
            Sums::Integer(sums) => sums[group] = input.i64()?,
            Sums::Double(sums) => sums[group] = f64::from_bits(input.i64()?.cast_unsigned()),
            Sums::Decimal(sums) => {
                sums[group] = Some(input.i128()?).filter(|sum| *sum != i128::MAX);
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let sums = match &self.sums {
            Sums::Integer(sums) => sums.capacity() * size_of::<i64>(),
            Sums::Double(sums) => sums.capacity() * size_of::<f64>(),
            Sums::Decimal(sums) => sums.capacity() * size_of::<Option<i128>>(),
        };
        sums + self.counts.capacity() * size_of::<i64>()
    }
}
