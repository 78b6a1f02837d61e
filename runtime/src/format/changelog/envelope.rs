//! Envelopes that another decoder has read as columns to rows with their kinds.
//!
//! Place in the flow: around the decoder of a format with schemas, such as Avro. Invariant: a record gives all of its rows or none.
//!
//! # Source
//! Flink 2.3, `debezium-avro-confluent`: which records fail, which are skipped, and which rows an update has.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::interleave;

use crate::batch::RowKind;
use crate::error::{Error, Result};
use crate::format::changelog::Dialect;
use crate::format::changelog::dialect::Operation;
use crate::format::{Changes, Decoded, Decoder, Failure, FailureCode};

/// Decodes envelopes that `inner` decodes into old row, new row and operation.
#[derive(Debug)]
pub struct EnvelopeDecoder {
    /// Who wrote the envelopes.
    dialect: Dialect,
    /// Decodes [`Dialect::envelope`].
    inner: Box<dyn Decoder>,
}

/// Place of the old row, as a column and as the source of a row.
const OLD: usize = 0;
/// Place of the new row.
const NEW: usize = 1;
/// Place of the operation.
const OPERATION: usize = 2;

/// The rows of a batch of envelopes.
#[derive(Debug, Default)]
struct Rows {
    /// Source and index of each row.
    picks: Vec<(usize, usize)>,
    /// Their kinds and records.
    changes: Changes,
}

impl Rows {
    /// Adds a row of the envelope at `index`, which is that of a record.
    fn push(&mut self, kind: RowKind, pick: (usize, usize), record: usize) {
        self.picks.push(pick);
        self.changes.kinds.push(kind);
        self.changes.records.push(record);
    }
}

impl EnvelopeDecoder {
    /// A decoder of what `dialect` says, around one of its envelope with one old and one new row.
    pub fn new(dialect: Dialect, inner: Box<dyn Decoder>) -> Self {
        Self { dialect, inner }
    }

    /// Adds the rows of an envelope.
    fn append(
        &self,
        columns: &[ArrayRef],
        (index, record): (usize, usize),
        rows: &mut Rows,
    ) -> std::result::Result<(), (FailureCode, String)> {
        let members = self.dialect.members();
        let words = columns[OPERATION].as_string::<i32>();
        let word = if words.is_valid(index) {
            words.value(index)
        } else {
            ""
        };
        let operation = self.dialect.operation(word).ok_or_else(|| {
            let message = format!(
                "field \"{}\": unknown operation {}",
                members.operation,
                crate::format::text::excerpt(word)
            );
            (FailureCode::Malformed, message)
        })?;
        let pick = |source: usize| {
            if columns[source].is_valid(index) {
                return Ok((source, index));
            }
            let (name, hint) = match source {
                OLD => (
                    members.old,
                    "; with Debezium of PostgreSQL, set REPLICA IDENTITY of the table to FULL",
                ),
                _ => (members.new, ""),
            };
            let message = format!(
                "field \"{name}\": is null or missing, so the row of the change is not known{hint}"
            );
            Err((FailureCode::NullValue, message))
        };
        match operation {
            Operation::Insert => rows.push(RowKind::Insert, pick(NEW)?, record),
            Operation::Delete => rows.push(RowKind::Delete, pick(OLD)?, record),
            Operation::Update => {
                let (old, new) = (pick(OLD)?, pick(NEW)?);
                rows.push(RowKind::UpdateBefore, old, record);
                rows.push(RowKind::UpdateAfter, new, record);
            }
            Operation::Nothing => {}
        }
        Ok(())
    }
}

impl Decoder for EnvelopeDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        // An empty record is as a null value: it says nothing.
        let places: Vec<usize> = (0..records.len())
            .filter(|index| !records[*index].is_empty())
            .collect();
        let present: Vec<&[u8]> = places.iter().map(|index| records[*index]).collect();
        let decoded = self.inner.decode(&present)?;
        let [old, new, _] = decoded.columns.as_slice() else {
            return Err(Error::internal("an envelope of other than three members"));
        };
        let mut failures = decoded.failures;
        for failure in &mut failures {
            failure.row = places[failure.row];
        }
        let mut failed = failures.iter().map(|failure| failure.row).peekable();
        let decoded_records: Vec<usize> = places
            .into_iter()
            .filter(|record| failed.next_if_eq(record).is_none())
            .collect();
        let mut rows = Rows::default();
        for place in decoded_records.into_iter().enumerate() {
            if let Err((code, message)) = self.append(&decoded.columns, place, &mut rows) {
                failures.push(Failure {
                    row: place.1,
                    code,
                    message,
                });
            }
        }
        failures.sort_by_key(|failure| failure.row);
        let (old, new) = (old.as_struct(), new.as_struct());
        let columns = old.columns().iter().zip(new.columns()).map(|(old, new)| {
            let sources: [&dyn Array; 2] = [old, new];
            Ok(interleave(&sources, &rows.picks)?)
        });
        Ok(Decoded {
            columns: columns.collect::<Result<_>>()?,
            failures,
            changes: Some(rows.changes),
        })
    }
}
