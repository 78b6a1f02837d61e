//! What formats have in common: the rows of a batch, and of binary records their bounds, varints, names and the last of equal keys.
//!
//! Place in the flow: the decoders of Avro, Protobuf and CSV append records here. Invariant: a record that fails leaves nothing behind, and no
//! column grows past what its offsets hold.

use std::hash::Hash;

use hashbrown::HashSet;

use crate::error::{Error, Result};
use crate::format::column::{Bytes, Column, Fault};
use crate::format::{Decoded, Failure, FailureCode, FormatField};
use crate::types::FlinkType;

/// Bytes of one batch of records; beyond, 32-bit offsets of strings could overflow.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`; a quarter is kept as a margin for what is longer than its bytes, symbols and defaults.
const BATCH_BYTES_MAX: usize = 1 << 29;

/// Bytes of the strings of a batch.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`.
const COLUMN_BYTES_MAX: usize = i32::MAX as usize;

/// Entries of a map whose keys are compared one with another; beyond, a hash set finds equal ones. Guess, unmeasured.
const COMPARED_KEYS_MAX: usize = 8;

/// The rows of a batch under construction.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Values of the asked fields.
    columns: Vec<Column>,
    /// Records that decoded.
    count: usize,
    /// Records that did not.
    failures: Vec<Failure>,
}

impl Rows {
    /// No rows of the asked fields.
    pub(crate) fn new(fields: &[FormatField]) -> Result<Self> {
        Ok(Self {
            columns: Column::of_fields(fields)?,
            count: 0,
            failures: Vec::new(),
        })
    }

    /// Adds what `append` appends, or nothing and the failure.
    pub(crate) fn append(
        &mut self,
        row: usize,
        append: impl FnOnce(&mut [Column]) -> std::result::Result<(), Fault>,
    ) {
        match append(&mut self.columns) {
            Ok(()) => self.count += 1,
            Err(fault) => {
                for column in &mut self.columns {
                    column.truncate(self.count);
                }
                self.failures.push(Failure {
                    row,
                    code: fault.code,
                    message: fault.text(),
                });
            }
        }
    }

    /// Takes the batch out.
    pub(crate) fn finish(&mut self) -> Result<Decoded> {
        self.count = 0;
        let failures = std::mem::take(&mut self.failures);
        let columns = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<_>>()?;
        Ok(Decoded {
            columns,
            failures,
            changes: None,
        })
    }

    /// Drops a batch that cannot be finished.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.failures.clear();
        for column in &mut self.columns {
            column.truncate(0);
        }
    }
}

/// Refuses names of fields that a language of schemas does not take: Avro and Protobuf have the same rule.
///
/// # Errors
/// `Invalid` with the name.
pub(crate) fn check_name(name: &str, language: &str) -> Result<()> {
    let mut letters = name.bytes();
    let is_taken = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_taken {
        Ok(())
    } else {
        Err(Error::validation(format!(
            "field {name}: names in {language} begin with a letter or _ and go on with letters, digits and _"
        )))
    }
}

/// Adds up a varint: seven bits a byte, the lowest first, in at most ten bytes; absent when it has more than 64 bits.
///
/// # Source
/// Protocol Buffers and Avro, encoding of integers.
///
/// # Errors
/// What `next` says when there is no further byte.
pub(crate) fn varint<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Option<u64>, E> {
    /// Bits before the last byte.
    const LAST_SHIFT: u32 = 63;
    let mut value = 0_u64;
    for shift in (0..=LAST_SHIFT).step_by(7) {
        let byte = next()?;
        // The last byte holds one bit.
        if shift == LAST_SHIFT && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Names and types of fields.
pub(crate) fn asked(fields: &[FormatField]) -> Vec<(&str, &FlinkType)> {
    fields
        .iter()
        .map(|field| (field.name.as_str(), &field.ty))
        .collect()
}

/// Refuses batches whose strings could be too long for a column.
///
/// # Errors
/// `Unsupported`.
pub(crate) fn check_size(records: &[&[u8]]) -> Result<()> {
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::unsupported(format!(
            "a batch of {bytes} bytes in binary form, more than {BATCH_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// A value out of the column's range.
pub(crate) fn out_of_range(value: impl std::fmt::Display, what: &str) -> Fault {
    Fault::mismatch(format!("{value} is out of the range of {what}"))
}

/// Appends a string, as long as the column has room.
pub(crate) fn push(values: &mut Bytes, value: &[u8]) -> std::result::Result<(), Fault> {
    if values.bytes.len() + value.len() > COLUMN_BYTES_MAX {
        return Err(Fault::new(
            FailureCode::Malformed,
            "the strings of the batch are longer than a column",
        ));
    }
    values.push(value);
    Ok(())
}

/// The end of an array or map among the elements.
pub(crate) fn end_of(elements: &Column) -> std::result::Result<i32, Fault> {
    i32::try_from(elements.len()).map_err(|_| {
        Fault::new(
            FailureCode::Malformed,
            "the elements of the batch are more than a column holds",
        )
    })
}

/// Which of the entries with these keys are the last of their key; `None` when all are.
pub(crate) fn last_ones<K: Hash + Eq>(keys: &[K]) -> Option<Vec<bool>> {
    let has_equal = if keys.len() <= COMPARED_KEYS_MAX {
        (1..keys.len()).any(|place| keys[..place].contains(&keys[place]))
    } else {
        let mut seen = HashSet::with_capacity(keys.len());
        !keys.iter().all(|key| seen.insert(key))
    };
    if !has_equal {
        return None;
    }
    let mut seen = HashSet::with_capacity(keys.len());
    let mut is_last: Vec<bool> = keys.iter().rev().map(|key| seen.insert(key)).collect();
    is_last.reverse();
    Some(is_last)
}
