//! The rows that expressions read, as columns.
//!
//! Place in the flow: within one call, the rows of the input and those of the state that are read lie here in chunks. Invariant: a place
//! is valid until the call ends.

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};

use crate::error::Result;
use crate::state::{EncodedKeys, KeyCodec};
use crate::types::FlinkType;

/// Where a row is: chunk, and row within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The chunk.
    pub(super) chunk: u32,
    /// The row.
    pub(super) row: u32,
}

/// The chunk of the row that is NULL everywhere.
const NULL_CHUNK: u32 = 0;

/// The chunk of the rows of the input.
const INPUT_CHUNK: u32 = 1;

/// A row that is not there.
pub(super) const NO_ROW: Place = Place {
    chunk: NULL_CHUNK,
    row: 0,
};

/// Rows in chunks.
#[derive(Debug)]
pub(super) struct Arena {
    /// Types of the columns.
    types: Vec<FlinkType>,
    /// Columns of each chunk.
    chunks: Vec<Vec<ArrayRef>>,
    /// Encoded rows of the next chunk.
    next: EncodedKeys,
}

impl Arena {
    /// The rows of an input.
    ///
    /// # Errors
    /// `Internal` for types without storage, which planning refuses.
    pub(super) fn new(types: Vec<FlinkType>, input: Vec<ArrayRef>) -> Result<Self> {
        let nulls = types
            .iter()
            .map(|ty| Ok(new_null_array(&ty.to_arrow()?, 1)))
            .collect::<Result<_>>()?;
        Ok(Self {
            types,
            chunks: vec![nulls, input],
            next: EncodedKeys::default(),
        })
    }

    /// The place of a row of the input.
    pub(super) fn of_input(row: u32) -> Place {
        Place {
            chunk: INPUT_CHUNK,
            row,
        }
    }

    /// The row of the input that is at a place.
    pub(super) fn input_row(place: Place) -> Option<u32> {
        (place.chunk == INPUT_CHUNK).then_some(place.row)
    }

    /// The type of a column.
    pub(super) fn ty(&self, column: usize) -> FlinkType {
        self.types[column].clone()
    }

    /// The columns of the input.
    pub(super) fn input(&self) -> &[ArrayRef] {
        &self.chunks[INPUT_CHUNK as usize]
    }

    /// Adds an encoded row of the state, which can be gathered after [`Self::decode`].
    pub(super) fn add(&mut self, row: &[u8]) -> Place {
        let place = Place {
            chunk: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
            row: u32::try_from(self.next.ends.len()).unwrap_or(u32::MAX),
        };
        self.next.bytes.extend_from_slice(row);
        self.next.ends.push(self.next.bytes.len());
        place
    }

    /// Decodes the rows that were added.
    ///
    /// # Errors
    /// `Corrupt` when a row is not of the codec.
    pub(super) fn decode(&mut self, codec: &KeyCodec) -> Result<()> {
        if self.next.is_empty() {
            return Ok(());
        }
        let rows = (0..self.next.len()).map(|row| self.next.key(row));
        let columns = codec.decode(rows)?;
        self.chunks.push(columns);
        self.next.bytes.clear();
        self.next.ends.clear();
        Ok(())
    }

    /// A column of some rows.
    ///
    /// # Errors
    /// `Internal` when a place is of another call.
    pub(super) fn gather(&self, column: usize, places: &[Place]) -> Result<ArrayRef> {
        if places.iter().all(|place| place.chunk == INPUT_CHUNK) {
            return Self::gather_current(&self.input()[column], places);
        }
        // Only chunks that are read take part.
        let mut numbers = vec![usize::MAX; self.chunks.len()];
        let mut arrays = Vec::new();
        let mut indices = Vec::with_capacity(places.len());
        for place in places {
            let chunk = place.chunk as usize;
            if numbers[chunk] == usize::MAX {
                numbers[chunk] = arrays.len();
                arrays.push(self.chunks[chunk][column].as_ref());
            }
            indices.push((numbers[chunk], place.row as usize));
        }
        Ok(interleave(&arrays, &indices)?)
    }

    /// A column of the input for some of its rows.
    ///
    /// # Errors
    /// `Internal` when a place is of another call.
    pub(super) fn gather_current(column: &ArrayRef, places: &[Place]) -> Result<ArrayRef> {
        let rows = places.iter().map(|place| place.row);
        Ok(take(column, &UInt32Array::from_iter_values(rows), None)?)
    }
}
