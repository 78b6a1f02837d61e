//! Rows with their kinds to envelopes.
//!
//! Place in the flow: around the encoder of any format; `task` hands it the values of a batch. Invariant: one envelope per row, in order:
//! an update is the delete of its old row and the insert of its new one.
//!
//! # Source
//! Flink 2.3: what the sinks of the Debezium, Canal, Maxwell and Ogg formats write.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::format::changelog::Dialect;
use crate::format::{Encoder, FormatField};
use crate::types::TypeKind;

/// Encodes rows in envelopes, which `inner` encodes.
#[derive(Debug)]
pub struct EnvelopeEncoder {
    /// Whose envelopes.
    dialect: Dialect,
    /// The fields of a row.
    fields: Fields,
    /// Encodes [`Dialect::envelope`].
    inner: Box<dyn Encoder>,
}

impl EnvelopeEncoder {
    /// An encoder of rows of the fields.
    ///
    /// # Errors
    /// `Unsupported` for types without stored values.
    pub fn new(dialect: Dialect, fields: &[FormatField], inner: Box<dyn Encoder>) -> Result<Self> {
        let envelope = dialect.envelope(fields);
        let row = envelope.iter().find_map(|field| match &field.ty.kind {
            row @ TypeKind::Row(_) => Some(row.clone().nullable()),
            TypeKind::Array(row) => Some((**row).clone()),
            _ => None,
        });
        let row = row.ok_or_else(|| Error::internal("an envelope without a row"))?;
        let DataType::Struct(fields) = row.to_arrow()? else {
            return Err(Error::internal("a row that is no struct"));
        };
        Ok(Self {
            dialect,
            fields,
            inner,
        })
    }

    /// The rows of a batch as one column, NULL where `nulls` says so.
    fn rows(&self, batch: &Batch, nulls: Option<NullBuffer>) -> Result<StructArray> {
        Ok(StructArray::try_new_with_length(
            self.fields.clone(),
            batch.columns.clone(),
            nulls,
            batch.rows,
        )?)
    }

    /// The columns of the envelopes of a batch.
    fn envelopes(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        let kinds = || (0..batch.rows).map(|row| batch.kind(row));
        let words = kinds().map(|kind| Some(self.dialect.word(kind)));
        let words: ArrayRef = Arc::new(words.collect::<StringArray>());
        Ok(match self.dialect {
            Dialect::Debezium | Dialect::Ogg => {
                let is_old: NullBuffer = kinds().map(RowKind::is_retraction).collect();
                let is_new: NullBuffer = kinds().map(|kind| !kind.is_retraction()).collect();
                vec![
                    Arc::new(self.rows(batch, Some(is_old))?),
                    Arc::new(self.rows(batch, Some(is_new))?),
                    words,
                ]
            }
            Dialect::Canal => {
                let rows = self.rows(batch, None)?;
                let element = DataType::Struct(self.fields.clone());
                let list = ListArray::try_new(
                    Arc::new(Field::new("element", element, true)),
                    OffsetBuffer::from_lengths(std::iter::repeat_n(1, batch.rows)),
                    Arc::new(rows),
                    None,
                )?;
                vec![Arc::new(list), words]
            }
            Dialect::Maxwell => vec![Arc::new(self.rows(batch, None)?), words],
        })
    }
}

impl Encoder for EnvelopeEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let envelopes = Batch {
            columns: self.envelopes(batch)?,
            rows: batch.rows,
            kinds: None,
        };
        self.inner.encode(&envelopes, buffer, ends)
    }
}
