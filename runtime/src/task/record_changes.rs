//! Kinds of change of decoded records.
//!
//! Place in the flow: the record decoder asks it where a table has changes: from the header `op`, or from the format. Invariant: rows
//! stay in the order of their records, and what belongs to a record stands beside each of its rows.

use arrow::array::{BooleanArray, UInt32Array};

use crate::batch::{Batch, RowKind, RowKinds};
use crate::connector::OP_HEADER;
use crate::connector::source::RawBatch;
use crate::error::{Error, Result};
use crate::format::{Changes, Decoded, Failure, FailureCode};
use crate::task::record_decoder::DecodedRecords;

/// The kind that the header of a record says; without one an insert.
///
/// # Source
/// Confluent, changelog modes: header `op`, 0 +I, 1 -U, 2 +U, 3 -D, 0 by default. The number is a byte; its digit is taken as well.
fn kind_of(raw: &RawBatch, record: usize) -> std::result::Result<RowKind, String> {
    let headers = raw
        .headers
        .get(record)
        .map(Vec::as_slice)
        .unwrap_or_default();
    // Of several headers of a name the last counts, as everywhere in Kafka.
    let found = headers
        .iter()
        .rev()
        .find(|(name, _)| name.of(&raw.buffer) == OP_HEADER);
    let Some((_, value)) = found else {
        return Ok(RowKind::Insert);
    };
    match value.map(|value| value.of(&raw.buffer)) {
        Some([0 | b'0']) => Ok(RowKind::Insert),
        Some([1 | b'1']) => Ok(RowKind::UpdateBefore),
        Some([2 | b'2']) => Ok(RowKind::UpdateAfter),
        Some([3 | b'3']) => Ok(RowKind::Delete),
        Some(other) => Err(format!(
            "the header \"op\" of {} bytes is not one of 0, 1, 2, 3",
            other.len()
        )),
        None => Err("the header \"op\" has no value".to_owned()),
    }
}

/// The records whose header is no kind of change.
pub(super) fn header_failures(raw: &RawBatch, records: &[usize]) -> Vec<Failure> {
    if raw.headers.is_empty() {
        return Vec::new();
    }
    let failure = |(row, record): (usize, &usize)| {
        let message = kind_of(raw, *record).err()?;
        Some(Failure {
            row,
            code: FailureCode::Malformed,
            message,
        })
    };
    records.iter().enumerate().filter_map(failure).collect()
}

/// The kinds of records whose headers are right; absent when all are inserts.
pub(super) fn header_kinds(raw: &RawBatch, records: &[usize]) -> Option<RowKinds> {
    if raw.headers.is_empty() {
        return None;
    }
    let kinds = records
        .iter()
        .map(|record| kind_of(raw, *record).unwrap_or(RowKind::Insert));
    inserts_apart(kinds.collect())
}

/// Kinds, unless all are inserts.
fn inserts_apart(kinds: Vec<RowKind>) -> Option<RowKinds> {
    let is_changing = kinds.iter().any(|kind| *kind != RowKind::Insert);
    is_changing.then(|| kinds.into())
}

/// Brings value and key of changes together: drops the rows of records that failed in another part, and repeats the key of a record
/// for each of its rows. The record of each row, and the kinds.
///
/// # Shape
/// Failures and the records of changes are places in `present`, the results are what stands there.
pub(super) fn spread(
    value: &mut Decoded,
    key: Option<&mut Decoded>,
    failures: &[Failure],
    present: &[usize],
) -> Result<(Vec<usize>, Option<RowKinds>)> {
    let mut changes = value
        .changes
        .take()
        .ok_or_else(|| Error::internal("rows without kinds"))?;
    if value.failures.len() != failures.len() {
        changes = drop_failed(value, &changes, failures, present.len())?;
    }
    if let Some(key) = key {
        let mut failed = key.failures.iter().map(|failure| failure.row).peekable();
        let mut next = 0_u32;
        // Places of keys that failed are never asked for: their rows were dropped.
        let places: Vec<u32> = (0..present.len())
            .map(|record| {
                let place = next;
                next += u32::from(failed.next_if_eq(&record).is_none());
                place
            })
            .collect();
        let indices: UInt32Array = changes
            .records
            .iter()
            .map(|record| places[*record])
            .collect();
        for column in &mut key.columns {
            *column = arrow::compute::take(column, &indices, None)?;
        }
    }
    let records = changes.records.iter().map(|record| present[*record]);
    Ok((records.collect(), inserts_apart(changes.kinds)))
}

/// Drops the rows of failed records.
fn drop_failed(
    value: &mut Decoded,
    changes: &Changes,
    failures: &[Failure],
    records: usize,
) -> Result<Changes> {
    let mut keep = vec![true; records];
    for failure in failures {
        keep[failure.row] = false;
    }
    let mask: BooleanArray = changes
        .records
        .iter()
        .map(|record| Some(keep[*record]))
        .collect();
    for column in &mut value.columns {
        *column = arrow::compute::filter(column, &mask)?;
    }
    let rows = changes.records.iter().zip(&changes.kinds);
    let (records, kinds) = rows.filter(|(record, _)| keep[**record]).unzip();
    Ok(Changes { kinds, records })
}

/// Brings the rows of an upsert table and its deletes together, in the order of their records.
pub(super) fn merge_upserts(
    (live_records, live): (Vec<usize>, DecodedRecords),
    (gone_records, gone): (Vec<usize>, DecodedRecords),
) -> Result<DecodedRecords> {
    let mut failures = live.failures;
    failures.extend(gone.failures);
    failures.sort_by_key(|failure| failure.offset);
    let batches = [&live.batch, &gone.batch];
    let rows = [live_records, gone_records];
    let mut order: Vec<(usize, (usize, usize))> = Vec::new();
    for (source, records) in rows.iter().enumerate() {
        let places = records.iter().enumerate();
        order.extend(places.map(|(row, record)| (*record, (source, row))));
    }
    order.sort_unstable();
    let picks: Vec<(usize, usize)> = order.into_iter().map(|(_, pick)| pick).collect();
    let columns = (0..live.batch.columns.len()).map(|column| {
        let sources = batches.map(|batch| &*batch.columns[column]);
        Ok(arrow::compute::interleave(&sources, &picks)?)
    });
    let kinds = picks
        .iter()
        .map(|(source, row)| batches[*source].kind(*row));
    let batch = Batch {
        columns: columns.collect::<Result<_>>()?,
        rows: picks.len(),
        kinds: inserts_apart(kinds.collect()),
    };
    Ok(DecodedRecords { batch, failures })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;
    use bytes::Bytes;

    use super::*;
    use crate::connector::source::Range;

    /// A column of numbers.
    fn numbers(values: &[i32]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    /// A failure of a record.
    fn failure(row: usize) -> Failure {
        Failure {
            row,
            code: FailureCode::Malformed,
            message: String::new(),
        }
    }

    /// Records with one header of these bytes each, or none.
    fn with_headers(values: &[Option<&[u8]>]) -> RawBatch {
        let mut buffer = OP_HEADER.to_vec();
        let name = Range { start: 0, len: 2 };
        let headers = values.iter().map(|value| {
            let header = value.map(|value| {
                let start = u32::try_from(buffer.len()).unwrap();
                buffer.extend_from_slice(value);
                let len = u32::try_from(value.len()).unwrap();
                (name, Some(Range { start, len }))
            });
            header.into_iter().collect()
        });
        let headers = headers.collect();
        RawBatch {
            headers,
            buffer: Bytes::from(buffer),
            ..RawBatch::default()
        }
    }

    #[test]
    fn headers_say_what_records_do() {
        let raw = with_headers(&[None, Some(&[1]), Some(b"2"), Some(&[3]), Some(&[0])]);
        let kinds = header_kinds(&raw, &[0, 1, 2, 3, 4]).unwrap();
        let names: Vec<&str> = kinds.iter().map(|kind| kind.short_name()).collect();
        assert_eq!(names, ["+I", "-U", "+U", "-D", "+I"]);
        assert_eq!(header_kinds(&raw, &[0, 4]), None);
        assert_eq!(header_kinds(&RawBatch::default(), &[0]), None);
    }

    #[test]
    fn wrong_headers_are_failures_of_their_records() {
        let raw = with_headers(&[None, Some(&[4]), Some(b""), Some(b"12"), Some(&[3])]);
        let failures = header_failures(&raw, &[0, 2, 3, 4]);
        let rows: Vec<usize> = failures.iter().map(|failure| failure.row).collect();
        assert_eq!(rows, [1, 2]);
        assert!(failures[1].message.contains("of 2 bytes"), "{failures:?}");
    }

    #[test]
    fn keys_are_repeated_and_rows_of_failed_records_dropped() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        // Of five records the first failed in the value and the third in the key; the fourth says nothing.
        let mut value = Decoded {
            columns: vec![numbers(&[10, 11, 20, 40])],
            failures: vec![failure(0)],
            changes: Some(Changes {
                kinds: vec![UpdateBefore, UpdateAfter, Insert, Delete],
                records: vec![1, 1, 2, 4],
            }),
        };
        let mut key = Decoded {
            columns: vec![numbers(&[0, 1, 3, 4])],
            failures: vec![failure(2)],
            changes: None,
        };
        let failures = [failure(0), failure(2)];
        let present = [100, 101, 102, 103, 104];
        let (records, kinds) = spread(&mut value, Some(&mut key), &failures, &present).unwrap();
        assert_eq!(records, [101, 101, 104]);
        assert_eq!(kinds.unwrap().to_vec(), [UpdateBefore, UpdateAfter, Delete]);
        assert_eq!(
            value.columns[0].as_primitive::<Int32Type>().values(),
            &[10, 11, 40]
        );
        assert_eq!(
            key.columns[0].as_primitive::<Int32Type>().values(),
            &[1, 1, 4]
        );
    }
}
