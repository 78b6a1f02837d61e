//! `SUM` and `$SUM0`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: until a row counts `SUM` is NULL and `$SUM0` is 0, as in Flink;
//! integers wrap around in their own width; a decimal sum past 38 digits is NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};

use crate::error::{Error, Result};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::{FlinkType, TypeKind};

/// A sum of values of one Arrow type.
pub(super) trait Sum: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Arrow type of argument and result.
    type Arrow: ArrowPrimitiveType;

    /// Adds or takes away a value.
    fn add(self, value: <Self::Arrow as ArrowPrimitiveType>::Native, is_retraction: bool) -> Self;

    /// The sum of both.
    fn plus(self, other: Self) -> Self;

    /// The result; absent when it cannot be represented.
    fn result(self) -> Option<<Self::Arrow as ArrowPrimitiveType>::Native>;

    /// Writes it.
    fn write(self, out: &mut Vec<u8>);

    /// Reads it.
    fn read(input: &mut Reader<'_>) -> Result<Self>;
}

/// Implements [`Sum`] for an integer type, which wraps around as Java's does.
macro_rules! wrapping_sum {
    ($name:ident, $arrow:ty, $native:ty) => {
        /// An integer sum that wraps.
        #[derive(Debug, Clone, Copy, Default)]
        pub(super) struct $name($native);

        impl Sum for $name {
            type Arrow = $arrow;

            fn add(self, value: $native, is_retraction: bool) -> Self {
                Self(if is_retraction {
                    self.0.wrapping_sub(value)
                } else {
                    self.0.wrapping_add(value)
                })
            }

            fn plus(self, other: Self) -> Self {
                self.add(other.0, false)
            }

            fn result(self) -> Option<$native> {
                Some(self.0)
            }

            fn write(self, out: &mut Vec<u8>) {
                out.put_i64(i64::from(self.0));
            }

            fn read(input: &mut Reader<'_>) -> Result<Self> {
                let value = <$native>::try_from(input.i64()?);
                Ok(Self(value.map_err(|_| {
                    Error::corrupt("a sum out of its type's range")
                })?))
            }
        }
    };
}
wrapping_sum!(TinySum, Int8Type, i8);
wrapping_sum!(SmallSum, Int16Type, i16);
wrapping_sum!(IntSum, Int32Type, i32);
wrapping_sum!(LongSum, Int64Type, i64);

/// A decimal sum; absent after it has passed 38 digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal(Option<i128>);

impl Default for Decimal {
    fn default() -> Self {
        Self(Some(0))
    }
}

/// One past the largest unscaled value of 38 digits.
const DECIMAL_LIMIT: i128 = 10i128.pow(38);

impl Sum for Decimal {
    type Arrow = Decimal128Type;

    fn add(self, value: i128, is_retraction: bool) -> Self {
        let sum = self.0.and_then(|sum| {
            if is_retraction {
                sum.checked_sub(value)
            } else {
                sum.checked_add(value)
            }
        });
        Self(sum.filter(|sum| sum.abs() < DECIMAL_LIMIT))
    }

    fn plus(self, other: Self) -> Self {
        match other.0 {
            Some(value) => self.add(value, false),
            None => other,
        }
    }

    fn result(self) -> Option<i128> {
        self.0
    }

    fn write(self, out: &mut Vec<u8>) {
        out.put_i128(self.0.unwrap_or(i128::MAX));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(Some(input.i128()?).filter(|sum| *sum != i128::MAX)))
    }
}

/// Implements [`Sum`] for a floating-point type, which adds in its own precision as Flink does.
macro_rules! float_sum {
    ($name:ident, $arrow:ty, $native:ty) => {
        /// A floating-point sum.
        #[derive(Debug, Clone, Copy, Default)]
        pub(super) struct $name($native);

        impl Sum for $name {
            type Arrow = $arrow;

            fn add(self, value: $native, is_retraction: bool) -> Self {
                Self(if is_retraction {
                    self.0 - value
                } else {
                    self.0 + value
                })
            }

            fn plus(self, other: Self) -> Self {
                self.add(other.0, false)
            }

            fn result(self) -> Option<$native> {
                Some(self.0)
            }

            fn write(self, out: &mut Vec<u8>) {
                out.put_bytes(&self.0.to_le_bytes());
            }

            fn read(input: &mut Reader<'_>) -> Result<Self> {
                let bytes = input
                    .bytes()?
                    .try_into()
                    .map_err(|_| Error::corrupt("a float of another width"))?;
                Ok(Self(<$native>::from_le_bytes(bytes)))
            }
        }
    };
}
float_sum!(Single, Float32Type, f32);
float_sum!(Double, Float64Type, f64);

/// The sum of no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    /// NULL.
    Null,
    /// 0.
    Zero,
}

/// The sums of all groups.
#[derive(Debug)]
pub(super) struct Sums<S: Sum> {
    /// Sum of each group, and the number of values that it is made of; at zero the result is `empty`. Both in one place, which is looked for
    /// once.
    totals: Vec<(S, i64)>,
    /// The sum of no values.
    empty: Empty,
    /// Result type, with a decimal's precision and scale.
    ty: DataType,
}

/// The accumulator of `SUM` or `$SUM0` over an argument type.
///
/// # Errors
/// `Unsupported` for an argument that is not a number.
pub(super) fn accumulator(
    argument: &FlinkType,
    result: &FlinkType,
    empty: Empty,
) -> Result<Box<dyn Accumulator>> {
    /// Boxes empty sums.
    fn sums<S: Sum>(ty: DataType, empty: Empty) -> Box<dyn Accumulator> {
        Box::new(Sums::<S> {
            totals: Vec::new(),
            empty,
            ty,
        })
    }
    let ty = result.to_arrow()?;
    Ok(match argument.kind {
        TypeKind::TinyInt => sums::<TinySum>(ty, empty),
        TypeKind::SmallInt => sums::<SmallSum>(ty, empty),
        TypeKind::Int => sums::<IntSum>(ty, empty),
        TypeKind::BigInt => sums::<LongSum>(ty, empty),
        TypeKind::Float => sums::<Single>(ty, empty),
        TypeKind::Double => sums::<Double>(ty, empty),
        TypeKind::Decimal { .. } => sums::<Decimal>(ty, empty),
        _ => return Err(Error::unsupported(format!("SUM of {}", argument.kind))),
    })
}

impl<S: Sum> Accumulator for Sums<S> {
    fn resize(&mut self, groups: usize) {
        column::resize(&mut self.totals, groups, (S::default(), 0));
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows
            .argument
            .and_then(|argument| argument.as_primitive_opt::<S::Arrow>());
        let values = argument
            .ok_or_else(|| Error::internal("SUM got another type"))?
            .values();
        let totals = &mut self.totals;
        rows.for_each(|row, group, is_retraction| {
            let (sum, count) = &mut totals[group];
            *sum = sum.add(values[row], is_retraction);
            *count += if is_retraction { -1 } else { 1 };
        });
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            let (other_sum, other_count) = other.totals[*from as usize];
            let (sum, count) = &mut self.totals[*into as usize];
            *sum = sum.plus(other_sum);
            *count += other_count;
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let array: PrimitiveArray<S::Arrow> = groups
            .iter()
            .map(|group| {
                let (sum, count) = self.totals[*group as usize];
                if count == 0 && self.empty == Empty::Null {
                    None
                } else {
                    sum.result()
                }
            })
            .collect();
        Ok(Arc::new(array.with_data_type(self.ty.clone())))
    }

    fn clear(&mut self, group: u32) {
        self.totals[group as usize] = (S::default(), 0);
    }

    fn reset(&mut self) -> bool {
        self.totals.clear();
        true
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let (sum, count) = self.totals[group as usize];
        out.put_i64(count);
        sum.write(out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let count = input.i64()?;
        self.totals[group as usize] = (S::read(input)?, count);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.totals.capacity() * size_of::<(S, i64)>()
    }
}
