//! The entries of checkpointed state.
//!
//! Place in the flow: state tables write entries of what has changed, compaction merges them, a restore reads them back. Invariant:
//! entries of one key group are applied in order and the last one for a key counts; damaged bytes become an error, never a panic.
//!
//! Layout, little-endian: one byte of operation (low four bits) and flags, one byte of table, eight bytes of namespace when
//! `HAS_NAMESPACE` is set, then length (4) and bytes of the key and, for a put, of the value.

use crate::error::{Error, Result};
use crate::state::codec::{Reader, Writer};

/// The operation of a put.
const PUT: u8 = 1;
/// The operation of a delete.
const DELETE: u8 = 2;
/// The operation that deletes a whole namespace.
const DROP: u8 = 3;
/// The bits of the operation.
const OPERATION: u8 = 0x0f;
/// Set when a namespace follows.
const HAS_NAMESPACE: u8 = 0x10;

/// Which table of an operator, and which part of it.
///
/// A namespace is a part that is deleted as a whole, such as a window; tables that have none use 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The table, numbered by the operator.
    pub table: u8,
    /// The namespace, such as the end of a window.
    pub namespace: i64,
}

/// One change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The key has this value.
    Put {
        /// Where.
        place: Place,
        /// Canonical encoding, as in [`crate::state::key`].
        key: &'a [u8],
        /// Encoded by the table.
        value: &'a [u8],
    },
    /// The key is gone.
    Delete {
        /// Where.
        place: Place,
        /// Canonical encoding.
        key: &'a [u8],
    },
    /// Every key of the namespace is gone.
    Drop {
        /// Which.
        place: Place,
    },
}

impl<'a> Entry<'a> {
    /// Where the change is.
    pub fn place(&self) -> Place {
        match self {
            Self::Put { place, .. } | Self::Delete { place, .. } | Self::Drop { place } => *place,
        }
    }

    /// Appends the entry.
    pub fn write(&self, out: &mut Vec<u8>) {
        let operation = match self {
            Self::Put { .. } => PUT,
            Self::Delete { .. } => DELETE,
            Self::Drop { .. } => DROP,
        };
        let place = self.place();
        let has_namespace = place.namespace != 0;
        out.put_u8(operation | if has_namespace { HAS_NAMESPACE } else { 0 });
        out.put_u8(place.table);
        if has_namespace {
            out.put_i64(place.namespace);
        }
        match self {
            Self::Put { key, value, .. } => {
                out.put_bytes(key);
                out.put_bytes(value);
            }
            Self::Delete { key, .. } => out.put_bytes(key),
            Self::Drop { .. } => {}
        }
    }

    /// Reads the next entry; absent at the end.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no entry or end in the middle of one.
    pub fn read(input: &mut Reader<'a>) -> Result<Option<Self>> {
        if input.is_empty() {
            return Ok(None);
        }
        let head = input.u8()?;
        let table = input.u8()?;
        let namespace = if head & HAS_NAMESPACE == 0 {
            0
        } else {
            input.i64()?
        };
        let place = Place { table, namespace };
        Ok(Some(match head & OPERATION {
            PUT => Self::Put {
                place,
                key: input.bytes()?,
                value: input.bytes()?,
            },
            DELETE => Self::Delete {
                place,
                key: input.bytes()?,
            },
            DROP => Self::Drop { place },
            other => {
                return Err(Error::corrupt(format!(
                    "state holds an unknown operation {other}"
                )));
            }
        }))
    }
}

/// The changes of one key group, as an operator hands them to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyGroupDelta {
    /// Which key group.
    pub key_group: u32,
    /// Entries back to back.
    pub entries: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_and_cut_ones_refused() {
        let plain = Place {
            table: 3,
            namespace: 0,
        };
        let window = Place {
            table: 0,
            namespace: -5,
        };
        let entries = [
            Entry::Put {
                place: plain,
                key: b"k",
                value: b"value",
            },
            Entry::Delete {
                place: window,
                key: b"",
            },
            Entry::Drop { place: window },
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            entry.write(&mut bytes);
        }
        let mut input = Reader::new(&bytes);
        let mut read = Vec::new();
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            read.push(entry);
        }
        assert_eq!(read, entries);
        let mut cut = Reader::new(&bytes[..bytes.len() - 1]);
        let outcome = std::iter::from_fn(|| Entry::read(&mut cut).transpose()).last();
        assert!(outcome.unwrap().is_err());
    }
}
