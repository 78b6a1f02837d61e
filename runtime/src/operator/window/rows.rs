//! Rows that lie in state until their window is due.
//!
//! Place in the flow: values of the tables of window operators that need whole rows. Invariant: rows keep their order and their kinds.

use crate::batch::RowKind;
use crate::error::{Error, Result};
use crate::operator::window::sessions::SessionValues;
use crate::state::Values;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Bytes in front of each row: kind and length.
const HEAD_BYTES: usize = 5;

/// Lists of rows, by id.
#[derive(Debug, Default)]
pub(super) struct RowLists {
    /// The lists.
    lists: Vec<RowList>,
    /// Bytes of all rows.
    heap_bytes: usize,
}

/// Some rows.
#[derive(Debug, Default)]
struct RowList {
    /// In the first of several lists of a key, how many more there are; else 0.
    more_lists: u32,
    /// Rows back to back: kind, length (4 bytes), canonical encoding.
    bytes: Vec<u8>,
}

/// The rows of a list, each with its kind.
#[derive(Debug, Clone)]
pub(super) struct RowIter<'a> {
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Iterator for RowIter<'a> {
    type Item = (RowKind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.rest.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        let kinds = [
            RowKind::Insert,
            RowKind::UpdateBefore,
            RowKind::UpdateAfter,
            RowKind::Delete,
        ];
        Some((*kinds.get(usize::from(*kind))?, row))
    }
}

impl RowLists {
    /// The rows of a list.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        RowIter {
            rest: &self.lists[id as usize].bytes,
        }
    }

    /// Bytes of the rows of a list.
    pub(super) fn bytes(&self, id: u32) -> usize {
        self.lists[id as usize].bytes.len()
    }

    /// How many more lists the key of a first list has.
    pub(super) fn more_lists(&self, id: u32) -> u32 {
        self.lists[id as usize].more_lists
    }

    /// Notes in a first list how many more its key has.
    pub(super) fn set_more_lists(&mut self, id: u32, count: u32) {
        self.lists[id as usize].more_lists = count;
    }

    /// Appends a row to a list.
    pub(super) fn push(&mut self, id: u32, kind: RowKind, row: &[u8]) {
        let list = &mut self.lists[id as usize];
        let before = list.bytes.capacity();
        if list.bytes.is_empty() {
            // Many lists have one row.
            list.bytes.reserve_exact(HEAD_BYTES + row.len());
        }
        list.bytes.put_u8(kind as u8);
        list.bytes.put_bytes(row);
        self.heap_bytes += list.bytes.capacity() - before;
    }
}

impl SessionValues for RowLists {
    fn absorb(&mut self, into: u32, from: u32) -> Result<()> {
        let from = std::mem::take(&mut self.lists[from as usize]);
        self.heap_bytes -= from.bytes.capacity();
        let list = &mut self.lists[into as usize];
        let before = list.bytes.capacity();
        list.bytes.extend_from_slice(&from.bytes);
        self.heap_bytes += list.bytes.capacity() - before;
        Ok(())
    }
}

impl Values for RowLists {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.lists, len, RowList::default);
    }

    fn clear(&mut self, id: u32) {
        let list = std::mem::take(&mut self.lists[id as usize]);
        self.heap_bytes -= list.bytes.capacity();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let list = &self.lists[id as usize];
        out.put_u32(list.more_lists);
        out.put_bytes(&list.bytes);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let more_lists = input.u32()?;
        let bytes = input.bytes()?.to_vec();
        let rows = RowIter { rest: &bytes };
        let length: usize = rows.map(|(_, row)| HEAD_BYTES + row.len()).sum();
        if length != bytes.len() {
            return Err(Error::corrupt("rows of a window end in the middle of one"));
        }
        self.heap_bytes += bytes.capacity();
        self.lists[id as usize] = RowList { more_lists, bytes };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<RowList>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}
