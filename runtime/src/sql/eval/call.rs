//! What a kernel sees: its arguments as columns or scalars, their types, and the surroundings.
//!
//! Place in the flow: the evaluator builds a [`Call`] per batch and function. Invariant: a scalar is an array of one row
//! that stands for every row; when all arguments are scalars, `rows` is 1 and the result is a scalar too.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BinaryBuilder, BooleanArray, Datum,
    PrimitiveArray, StringArray, StringBuilder, UInt32Array,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::EvalContext;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::types::FlinkType;

/// Most bytes in one column of strings.
///
/// # Source
/// Arrow: the offsets of strings have 31 bits.
const MAX_COLUMN_BYTES: usize = (1 << 31) - 1;

/// What a call keeps from one batch to the next, such as a compiled pattern or a sequence of random numbers.
///
/// It is no state of the job: it starts empty after a restore.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Option<Box<dyn Any + Send>>>);

impl Memory {
    /// Uses what was kept under this type; made anew when there is nothing.
    pub(crate) fn with<S: Send + 'static, T>(
        &self,
        make: impl FnOnce() -> S,
        f: impl FnOnce(&mut S) -> T,
    ) -> T {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.take().and_then(|kept| kept.downcast::<S>().ok());
        let mut kept = kept.unwrap_or_else(|| Box::new(make()));
        let result = f(&mut kept);
        *slot = Some(kept);
        result
    }
}

/// A column, or one value for all rows.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// One entry per row.
    Column(ArrayRef),
    /// An array of one entry.
    Scalar(ArrayRef),
}

impl Value {
    /// The array, of one entry for a scalar.
    pub(crate) fn array(&self) -> &ArrayRef {
        match self {
            Self::Column(array) | Self::Scalar(array) => array,
        }
    }

    /// Whether one value stands for all rows.
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }

    /// One entry per row.
    ///
    /// # Errors
    /// `Internal` when the array cannot be repeated.
    pub(crate) fn expand(&self, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Column(array) => Ok(Arc::clone(array)),
            Self::Scalar(array) if rows == 1 => Ok(Arc::clone(array)),
            Self::Scalar(array) => {
                let zeros = UInt32Array::from_value(0, rows);
                Ok(arrow::compute::take(array, &zeros, None)?)
            }
        }
    }
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array().as_ref(), self.is_scalar())
    }
}

/// An argument of a known array type, read row by row.
#[derive(Debug)]
pub(crate) struct Arg<'a, A> {
    /// The array.
    pub(crate) array: &'a A,
    /// Multiplied with the row number: 0 for a scalar.
    step: usize,
}

impl<A: Array> Arg<'_, A> {
    /// The entry for a row.
    pub(crate) fn at(&self, row: usize) -> usize {
        row * self.step
    }

    /// Whether the entry for a row is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(self.at(row))
    }
}

impl<'a> Arg<'a, StringArray> {
    /// The text of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        let at = self.at(row);
        self.array.is_valid(at).then(|| self.array.value(at))
    }
}

impl<'a> Arg<'a, BinaryArray> {
    /// The bytes of a row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        let at = self.at(row);
        self.array.is_valid(at).then(|| self.array.value(at))
    }
}

impl<T: ArrowPrimitiveType> Arg<'_, PrimitiveArray<T>> {
    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        let at = self.at(row);
        self.array.is_valid(at).then(|| self.array.value(at))
    }
}

/// One function call on one batch.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Arguments.
    pub(crate) args: &'a [Value],
    /// Types of the arguments.
    pub(crate) types: &'a [FlinkType],
    /// Type of the result.
    pub(crate) ty: &'a FlinkType,
    /// Rows to compute.
    pub(crate) rows: usize,
    /// Session time zone.
    pub(crate) zone: &'a Zone,
    /// Wall time and watermark.
    pub(crate) context: &'a EvalContext,
    /// What the call keeps between batches.
    pub(crate) memory: &'a Memory,
}

impl<'a> Call<'a> {
    /// An argument with one entry per row.
    ///
    /// # Errors
    /// `Internal` for a missing argument.
    pub(crate) fn column(&self, i: usize) -> Result<ArrayRef> {
        self.value(i)?.expand(self.rows)
    }

    /// A BOOLEAN argument with one entry per row.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn boolean_column(&self, i: usize) -> Result<BooleanArray> {
        let array = self.column(i)?;
        let values = array.as_any().downcast_ref::<BooleanArray>();
        values.cloned().ok_or_else(|| wrong_array(i))
    }

    /// An argument.
    ///
    /// # Errors
    /// `Internal` for a missing argument.
    pub(crate) fn value(&self, i: usize) -> Result<&'a Value> {
        self.args.get(i).ok_or_else(|| wrong_array(i))
    }

    /// An argument as an array type.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn arg<A: Array + 'static>(&self, i: usize) -> Result<Arg<'a, A>> {
        let value = self.value(i)?;
        let array = value.array().as_any().downcast_ref::<A>();
        Ok(Arg {
            array: array.ok_or_else(|| wrong_array(i))?,
            step: usize::from(!value.is_scalar()),
        })
    }

    /// A character argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn text(&self, i: usize) -> Result<Arg<'a, StringArray>> {
        self.arg(i)
    }

    /// A primitive argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        i: usize,
    ) -> Result<Arg<'a, PrimitiveArray<T>>> {
        self.arg(i)
    }

    /// An INT argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn int(&self, i: usize) -> Result<Arg<'a, PrimitiveArray<Int32Type>>> {
        self.arg(i)
    }

    /// A BIGINT argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn long(&self, i: usize) -> Result<Arg<'a, PrimitiveArray<Int64Type>>> {
        self.arg(i)
    }

    /// A DOUBLE argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(crate) fn double(&self, i: usize) -> Result<Arg<'a, PrimitiveArray<Float64Type>>> {
        self.arg(i)
    }

    /// Builds a character column row by row.
    ///
    /// # Errors
    /// The first error of `row`.
    pub(crate) fn texts<S: AsRef<str>>(
        &self,
        mut row: impl FnMut(usize) -> Result<Option<S>>,
    ) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        for i in 0..self.rows {
            let value = row(i)?;
            let added = value.as_ref().map_or(0, |value| value.as_ref().len());
            check_size(builder.values_slice().len(), added)?;
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Builds a byte column row by row.
    ///
    /// # Errors
    /// The first error of `row`.
    pub(crate) fn bytes<S: AsRef<[u8]>>(
        &self,
        mut row: impl FnMut(usize) -> Result<Option<S>>,
    ) -> Result<ArrayRef> {
        let mut builder = BinaryBuilder::with_capacity(self.rows, self.rows * 16);
        for i in 0..self.rows {
            let value = row(i)?;
            let added = value.as_ref().map_or(0, |value| value.as_ref().len());
            check_size(builder.values_slice().len(), added)?;
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Builds a primitive column row by row.
    ///
    /// # Errors
    /// The first error of `row`.
    pub(crate) fn primitives<T: ArrowPrimitiveType>(
        &self,
        row: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let array: PrimitiveArray<T> = (0..self.rows).map(row).collect::<Result<_>>()?;
        Ok(Arc::new(array))
    }

    /// Builds a BOOLEAN column row by row.
    ///
    /// # Errors
    /// The first error of `row`.
    pub(crate) fn booleans(
        &self,
        row: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        let array: BooleanArray = (0..self.rows).map(row).collect::<Result<_>>()?;
        Ok(Arc::new(array))
    }
}

/// Refuses a column that would grow past what one array holds.
fn check_size(length: usize, added: usize) -> Result<()> {
    if length.saturating_add(added) <= MAX_COLUMN_BYTES {
        return Ok(());
    }
    Err(Error::arithmetic(format!(
        "the strings of one batch exceed {MAX_COLUMN_BYTES} bytes"
    )))
}

/// A kernel got what the function table does not promise.
fn wrong_array(i: usize) -> Error {
    Error::internal(format!("argument {i} does not have the type of the plan"))
}
