//! `STDDEV_POP`, `STDDEV_SAMP`, `VAR_POP` and `VAR_SAMP`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: count, mean and the sum of squared distances from it are those of
//! Welford's algorithm in the order of the rows, and for groups that are merged those of Chan's, so that results have the digits that Flink's have.
//!
//! # Source
//! Flink 2.3: the variance functions are rewritten to `$WELFORD_M2$` over COUNT, as doubles that are cast to the result type.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;

use crate::error::Result;
use crate::operator::aggregate::values::Conversion;
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::plan::AggregateFunction;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::{FlinkType, TypeKind};

/// Which of the functions.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Whether the values are a sample of all.
    is_sample: bool,
    /// Whether the root is taken.
    is_deviation: bool,
}

/// What is known of the values of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    /// Values.
    count: i64,
    /// Their mean.
    mean: f64,
    /// Sum of their squared distances from the mean.
    squares: f64,
}

/// The accumulators of all groups.
#[derive(Debug)]
struct Variances {
    /// What is known of each group.
    moments: Vec<Moments>,
    /// Which function.
    shape: Shape,
    /// From the argument to doubles.
    input: Conversion,
    /// From doubles to the result.
    output: Conversion,
}

/// The accumulator of a variance function.
///
/// # Errors
/// `Internal` for an argument that is not a number.
pub(super) fn accumulator(
    function: AggregateFunction,
    argument: &FlinkType,
    result: &FlinkType,
) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let shape = Shape {
        is_sample: matches!(function, F::StddevSamp | F::VarSamp),
        is_deviation: matches!(function, F::StddevPop | F::StddevSamp),
    };
    Ok(Box::new(Variances {
        moments: Vec::new(),
        shape,
        input: Conversion::new(argument, &TypeKind::Double)?,
        output: Conversion::new(&TypeKind::Double.nullable(), &result.kind)?,
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts are doubles here, as in Flink"
)]
impl Moments {
    /// Adds a value.
    fn add(&mut self, value: f64) {
        self.count += 1;
        if self.count <= 0 {
            return;
        }
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    /// Takes a value away.
    fn remove(&mut self, value: f64) {
        self.count -= 1;
        if self.count <= 0 {
            if self.count == 0 {
                *self = Self::default();
            }
            return;
        }
        let distance = value - self.mean;
        self.mean -= distance / self.count as f64;
        self.squares -= (value - self.mean) * distance;
    }

    /// Adds the values of another group.
    fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        if count <= 0 {
            *self = Self::default();
        } else if self.count <= 0 {
            *self = other;
        } else if other.count > 0 {
            let (own, added, all) = (self.count as f64, other.count as f64, count as f64);
            let distance = other.mean - self.mean;
            self.mean += added / all * distance;
            self.squares += other.squares + own * added / all * distance * distance;
        }
        self.count = count;
    }

    /// The result; absent without values, and for values taken away that never came.
    fn result(self, shape: Shape) -> Option<f64> {
        if self.count <= 0 || self.squares < 0.0 {
            return None;
        }
        let divisor = if shape.is_sample {
            Some(self.count - 1).filter(|divisor| *divisor != 0)?
        } else {
            self.count
        };
        let variance = self.squares / divisor as f64;
        Some(if shape.is_deviation {
            variance.sqrt()
        } else {
            variance
        })
    }
}

impl Accumulator for Variances {
    fn resize(&mut self, groups: usize) {
        column::resize(&mut self.moments, groups, Moments::default());
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let doubles = self.input.apply(rows.argument()?)?;
        let values = doubles.as_primitive::<Float64Type>().values();
        let moments = &mut self.moments;
        rows.for_each(|row, group, is_retraction| {
            if is_retraction {
                moments[group].remove(values[row]);
            } else {
                moments[group].add(values[row]);
            }
        });
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.moments[*into as usize].merge(other.moments[*from as usize]);
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let result = |group: &u32| self.moments[*group as usize].result(self.shape);
        let doubles: Float64Array = groups.iter().map(result).collect();
        let doubles: ArrayRef = Arc::new(doubles);
        self.output.apply(&doubles)
    }

    fn clear(&mut self, group: u32) {
        self.moments[group as usize] = Moments::default();
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let Moments {
            count,
            mean,
            squares,
        } = self.moments[group as usize];
        out.put_i64(count);
        out.put_i64(mean.to_bits().cast_signed());
        out.put_i64(squares.to_bits().cast_signed());
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let count = input.i64()?;
        let mut double = || input.i64().map(|bits| f64::from_bits(bits.cast_unsigned()));
        self.moments[group as usize] = Moments {
            count,
            mean: double()?,
            squares: double()?,
        };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.moments.capacity() * size_of::<Moments>()
    }
}
