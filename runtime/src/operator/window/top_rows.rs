//! The first rows of each key of a window, in order.
//!
//! Place in the flow: values of the table of [`super::top`]. Invariant: the rows of an id are in order, and no more than are asked for;
//! the order is not part of the stored form, which is the rows alone.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, Rows, SortField as ArrowSortField};

use crate::error::{Error, Result};
use crate::plan::SortField;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::{KeyCodec, Values};
use crate::types::FlinkType;

/// An order of rows, and how they are stored.
#[derive(Debug)]
pub(super) struct Order {
    /// Encodes rows.
    pub(super) codec: KeyCodec,
    /// The columns that rows are ordered by.
    columns: Vec<usize>,
    /// Makes bytes of them that compare as they do.
    converter: RowConverter,
}

impl Order {
    /// The order of rows of these columns.
    ///
    /// # Errors
    /// `Unsupported` for types without an order.
    pub(super) fn new(fields: &[SortField], input: &[FlinkType]) -> Result<Self> {
        let converted = fields.iter().map(|field| {
            let options = SortOptions {
                descending: field.descending,
                nulls_first: !field.nulls_last,
            };
            let ty = input[field.column].to_arrow()?;
            Ok(ArrowSortField::new_with_options(ty, options))
        });
        let converted = converted.collect::<Result<Vec<_>>>()?;
        if !RowConverter::supports_fields(&converted) {
            return Err(Error::unsupported("ORDER BY of a type without an order"));
        }
        Ok(Self {
            codec: KeyCodec::for_rows(input)?,
            columns: fields.iter().map(|field| field.column).collect(),
            converter: RowConverter::new(converted)?,
        })
    }

    /// The places of rows in the order, as bytes.
    pub(super) fn convert(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|c| columns[*c].clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }
}

/// The first rows of each id.
#[derive(Debug, Default)]
pub(super) struct TopRows {
    /// The order; absent in what is left of a table that was handed over.
    order: Option<Arc<Order>>,
    /// Rows in order, by id.
    tops: Vec<Vec<TopRow>>,
    /// Memory of all rows, bytes.
    heap_bytes: usize,
}

/// A row.
#[derive(Debug)]
struct TopRow {
    /// Its place in the order.
    place: Box<[u8]>,
    /// Its canonical encoding.
    row: Box<[u8]>,
}

impl TopRow {
    /// Memory held, in bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.place.len() + self.row.len()
    }
}

impl TopRows {
    /// No rows.
    pub(super) fn new(order: Arc<Order>) -> Self {
        Self {
            order: Some(order),
            ..Self::default()
        }
    }

    /// Adds a row when it is among the first `limit` ones; it stands behind those that are equal in order.
    pub(super) fn add(&mut self, id: u32, (place, row): (&[u8], &[u8]), limit: usize) {
        let top = &mut self.tops[id as usize];
        let at = top.partition_point(|held| *held.place <= *place);
        if at >= limit {
            return;
        }
        let row = TopRow {
            place: place.into(),
            row: row.into(),
        };
        self.heap_bytes += row.bytes();
        top.insert(at, row);
        for gone in top.drain(limit.min(top.len())..) {
            self.heap_bytes -= gone.bytes();
        }
    }

    /// The rows of an id in order.
    pub(super) fn iter(&self, id: u32) -> impl Iterator<Item = &[u8]> {
        self.tops[id as usize].iter().map(|row| &*row.row)
    }
}

impl Values for TopRows {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.tops, len, Vec::new);
    }

    fn clear(&mut self, id: u32) {
        let top = std::mem::take(&mut self.tops[id as usize]);
        self.heap_bytes -= top.iter().map(TopRow::bytes).sum::<usize>();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let top = &self.tops[id as usize];
        out.put_u32(u32::try_from(top.len()).unwrap_or(u32::MAX));
        for row in top {
            out.put_bytes(&row.row);
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let order = self.order.as_ref();
        let order = order.ok_or_else(|| Error::internal("rows without an order"))?;
        let mut rows = Vec::new();
        for _ in 0..input.u32()? {
            rows.push(input.bytes()?);
        }
        let places = order.convert(&order.codec.decode(rows.iter().copied())?)?;
        let top: Vec<TopRow> = rows
            .into_iter()
            .zip(places.iter())
            .map(|(row, place)| TopRow {
                place: place.as_ref().into(),
                row: row.into(),
            })
            .collect();
        self.heap_bytes += top.iter().map(TopRow::bytes).sum::<usize>();
        self.tops[id as usize] = top;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.tops.capacity() * size_of::<Vec<TopRow>>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}
