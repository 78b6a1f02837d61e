//! Arrays as arguments and as results.
//!
//! Place in the flow: the kernels of the array and map functions read their arguments with [`Lists`] and [`Items`] and write
//! with [`Picks`]. Invariant: a result consists of entries of its sources, none of which is copied before the end.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::sql::eval::call::{Arg, Call};

/// Arrays of an argument.
pub(super) struct Lists<'a>(Arg<'a, ListArray>);

impl<'a> Lists<'a> {
    /// An argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(super) fn of(call: &Call<'a>, i: usize) -> Result<Self> {
        Ok(Self(call.arg(i)?))
    }

    /// All elements.
    pub(super) fn values(&self) -> &'a ArrayRef {
        self.0.array.values()
    }

    /// The elements of a row; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<Range<usize>> {
        let at = self.0.at(row);
        self.0
            .array
            .is_valid(at)
            .then(|| entries(self.0.array.value_offsets(), at))
    }
}

/// Maps of an argument.
pub(super) struct Maps<'a>(Arg<'a, MapArray>);

impl<'a> Maps<'a> {
    /// An argument.
    ///
    /// # Errors
    /// `Internal` for another type.
    pub(super) fn of(call: &Call<'a>, i: usize) -> Result<Self> {
        Ok(Self(call.arg(i)?))
    }

    /// All keys.
    pub(super) fn keys(&self) -> &'a ArrayRef {
        self.0.array.keys()
    }

    /// All values.
    pub(super) fn values(&self) -> &'a ArrayRef {
        self.0.array.values()
    }

    /// The entries of a row; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<Range<usize>> {
        let at = self.0.at(row);
        self.0
            .array
            .is_valid(at)
            .then(|| entries(self.0.array.value_offsets(), at))
    }
}

/// Entries of a row of an array of arrays or maps.
pub(super) fn entries(offsets: &[i32], row: usize) -> Range<usize> {
    offsets[row].unsigned_abs() as usize..offsets[row + 1].unsigned_abs() as usize
}

/// Values of an argument of any type.
pub(super) struct Items<'a> {
    /// One for each row, or a single one.
    pub(super) array: &'a ArrayRef,
    /// Multiplied with the row number: 0 for a scalar.
    step: usize,
}

impl<'a> Items<'a> {
    /// An argument.
    ///
    /// # Errors
    /// `Internal` for a missing argument.
    pub(super) fn of(call: &Call<'a>, i: usize) -> Result<Self> {
        let value = call.value(i)?;
        Ok(Self {
            array: value.array(),
            step: usize::from(!value.is_scalar()),
        })
    }

    /// The entry of a row.
    pub(super) fn at(&self, row: usize) -> usize {
        row * self.step
    }

    /// Whether the value of a row is NULL.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array.data_type() == &DataType::Null || self.array.is_null(self.at(row))
    }
}

/// Collects which entries of the sources a column of arrays or maps consists of, row by row.
#[derive(Debug, Default)]
pub(super) struct Picks {
    /// Source and entry.
    chosen: Vec<(usize, usize)>,
    /// Entries of each row.
    lengths: Vec<usize>,
    /// Which rows are not NULL.
    valid: Vec<bool>,
    /// Entries of the rows before the present one.
    before: usize,
}

impl Picks {
    /// Adds an entry to the present row.
    pub(super) fn push(&mut self, source: usize, entry: usize) {
        self.chosen.push((source, entry));
    }

    /// Adds entries to the present row.
    pub(super) fn extend(&mut self, source: usize, entries: impl Iterator<Item = usize>) {
        self.chosen.extend(entries.map(|entry| (source, entry)));
    }

    /// Ends the present row.
    pub(super) fn end(&mut self) {
        self.lengths.push(self.chosen.len() - self.before);
        self.valid.push(true);
        self.before = self.chosen.len();
    }

    /// Ends the present row, which is NULL.
    pub(super) fn end_null(&mut self) {
        self.chosen.truncate(self.before);
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The offsets and NULLs.
    fn shape(&self) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>)> {
        if i32::try_from(self.chosen.len()).is_err() {
            return Err(Error::arithmetic(
                "the arrays of a batch have more than 2147483647 elements together",
            ));
        }
        let nulls = NullBuffer::from(self.valid.clone());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok((
            OffsetBuffer::from_lengths(self.lengths.iter().copied()),
            nulls,
        ))
    }

    /// The chosen entries of some sources.
    ///
    /// # Errors
    /// `Internal` for sources of several types.
    pub(super) fn gather(&self, sources: &[&ArrayRef]) -> Result<ArrayRef> {
        let sources: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&sources, &self.chosen)?)
    }

    /// The arrays.
    ///
    /// # Errors
    /// `Data` for more elements than a column may have, `Internal` for sources of another type than the result.
    pub(super) fn finish(self, call: &Call<'_>, sources: &[&ArrayRef]) -> Result<ArrayRef> {
        let DataType::List(field) = call.ty.to_arrow()? else {
            return Err(Error::internal("the result is not an array"));
        };
        let (offsets, nulls) = self.shape()?;
        let values = self.gather(sources)?;
        Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
    }

    /// The maps of the chosen keys; `values` has the value of each in the same order.
    ///
    /// # Errors
    /// `Data` for a key that is NULL; else as [`Self::finish`].
    pub(super) fn finish_map(
        self,
        call: &Call<'_>,
        keys: &[&ArrayRef],
        values: ArrayRef,
    ) -> Result<ArrayRef> {
        let DataType::Map(field, sorted) = call.ty.to_arrow()? else {
            return Err(Error::internal("the result is not a map"));
        };
        let DataType::Struct(fields) = field.data_type().clone() else {
            return Err(Error::internal("entries are not a row"));
        };
        let (offsets, nulls) = self.shape()?;
        let columns = vec![self.gather(keys)?, values];
        let entries = StructArray::try_new(fields, columns, None)
            .map_err(|_| Error::arithmetic("a key of a map is NULL"))?;
        let map = MapArray::try_new(field, offsets, entries, nulls, sorted)?;
        Ok(Arc::new(map))
    }
}
