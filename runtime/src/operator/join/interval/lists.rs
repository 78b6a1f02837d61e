//! Rows of one bucket of time, by key.
//!
//! Place in the flow: the values of [`super::timed::TimedRows`], one for each bucket. Invariant: rows are added and marked, and go with
//! their bucket; what is known of all rows of a bucket holds for those that are on disk, too.
//!
//! A key has a row or two in a bucket as a rule, so lists have no memory of their own: the rows of a list are linked in one arena, the
//! latest first, and adding one touches the list and the end of the arena only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::state::codec::{Reader, Writer};
use crate::state::{Values, column};
use crate::time::EpochMillis;

/// A row has met one.
pub(super) const MET: u8 = 1;

/// A row was taken away before its bucket.
pub(super) const GONE: u8 = 2;

/// A row stays longer than its time says, and when it goes is kept with it.
const LINGERS: u8 = 4;

/// Bytes of rows from which on a list takes no more: what a checkpoint writes again when the list has changed (guess, unmeasured).
/// In tests a few rows are enough.
const LIST_BYTES_MAX: u32 = if cfg!(test) { 200 } else { 16 << 10 };

/// In front of each row in the arena: where the next one is, its time, its length, its marks.
const HEAD_BYTES: usize = size_of::<usize>() + 8 + 4 + 1;

/// Where the marks are in front of a row.
const FLAGS_AT: usize = HEAD_BYTES - 1;

/// Waste below which compaction is not worth the copy (guess, unmeasured).
const COMPACT_WASTE_BYTES_MIN: usize = 64 << 10;

/// Marks the end of a list.
const END: usize = usize::MAX;

/// Rows of a key in a bucket, or some of them.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Where the latest row is.
    first: usize,
    /// The latest time of its rows and of those of its parts.
    max_ms: EpochMillis,
    /// Bytes of its rows with their heads.
    bytes: u32,
    /// A bit for each part of its time whose rows have a list of their own.
    parts: u16,
}

/// Without rows.
const EMPTY: List = List {
    first: END,
    max_ms: EpochMillis::MIN,
    bytes: 0,
    parts: 0,
};

/// A row and what is kept with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimedRow<'a> {
    /// Its time.
    pub(super) time_ms: EpochMillis,
    /// When it goes: the first moment at which it is not there any more.
    pub(super) gone_ms: EpochMillis,
    /// [`MET`] and so on.
    pub(super) flags: u8,
    /// Canonical encoding.
    pub(super) bytes: &'a [u8],
}

/// What is known of all rows of a bucket.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the postfix is the unit")]
pub(super) struct Bounds {
    /// The earliest time, or earlier.
    pub(super) min_ms: EpochMillis,
    /// The latest time, or later.
    pub(super) max_ms: EpochMillis,
    /// When the last row goes, or later.
    pub(super) gone_ms: EpochMillis,
    /// When the last row goes that stays longer than its time says, or later.
    pub(super) lingers_ms: EpochMillis,
}

/// Those of a bucket without rows.
const NO_BOUNDS: Bounds = Bounds {
    min_ms: EpochMillis::MAX,
    max_ms: EpochMillis::MIN,
    gone_ms: EpochMillis::MIN,
    lingers_ms: EpochMillis::MIN,
};

/// When a row goes, its list, and where it is.
type Due = Reverse<(EpochMillis, u32, usize)>;

/// Lists by id.
#[derive(Debug)]
pub(super) struct Lists {
    /// The lists.
    by_id: Vec<List>,
    /// Their rows.
    arena: Vec<u8>,
    /// Bytes of the arena that no list uses.
    waste_bytes: usize,
    /// What is known of all rows.
    bounds: Bounds,
    /// When the first row goes, or earlier.
    first_due_ms: EpochMillis,
    /// Rows that have met none by when they go; absent until the first of them goes, and after rows have moved.
    due: Option<BinaryHeap<Due>>,
    /// How long past its time a row is kept, milliseconds.
    keep_ms: i64,
}

impl Default for Lists {
    fn default() -> Self {
        Self::new(0)
    }
}

/// When a row of a time goes that is kept for `keep_ms` past it.
pub(super) fn due_ms(time_ms: EpochMillis, keep_ms: i64) -> EpochMillis {
    time_ms.saturating_add(keep_ms).saturating_add(1)
}

impl Lists {
    /// No rows; each is kept for `keep_ms` milliseconds past its time.
    pub(super) fn new(keep_ms: i64) -> Self {
        Self {
            by_id: Vec::new(),
            arena: Vec::new(),
            waste_bytes: 0,
            bounds: NO_BOUNDS,
            first_due_ms: EpochMillis::MAX,
            due: None,
            keep_ms,
        }
    }

    /// What is known of all rows.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The latest time of a list and its parts; the least time without rows.
    pub(super) fn max_ms(&self, id: u32) -> EpochMillis {
        self.by_id[id as usize].max_ms
    }

    /// Notes a time that a part of a list gets.
    pub(super) fn note_part(&mut self, id: u32, part: u32, time_ms: EpochMillis) {
        let list = &mut self.by_id[id as usize];
        list.parts |= 1 << part;
        list.max_ms = list.max_ms.max(time_ms);
    }

    /// The parts of a list that have lists of their own, a bit for each.
    pub(super) fn parts(&self, id: u32) -> u16 {
        self.by_id[id as usize].parts
    }

    /// Whether a list takes no more rows.
    pub(super) fn is_full(&self, id: u32) -> bool {
        self.by_id[id as usize].bytes >= LIST_BYTES_MAX
    }

    /// Adds a row to a list.
    pub(super) fn push(&mut self, id: u32, row: TimedRow<'_>) {
        let lingers = row.gone_ms > due_ms(row.time_ms, self.keep_ms);
        let flags = row.flags | if lingers { LINGERS } else { 0 };
        let bounds = &mut self.bounds;
        bounds.min_ms = bounds.min_ms.min(row.time_ms);
        bounds.max_ms = bounds.max_ms.max(row.time_ms);
        bounds.gone_ms = bounds.gone_ms.max(row.gone_ms);
        self.first_due_ms = self.first_due_ms.min(row.gone_ms);
        let at = self.arena.len();
        let list = &mut self.by_id[id as usize];
        self.arena.extend_from_slice(&list.first.to_le_bytes());
        self.arena.extend_from_slice(&row.time_ms.to_le_bytes());
        let length = u32::try_from(row.bytes.len()).unwrap_or(u32::MAX);
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.push(flags);
        if lingers {
            bounds.lingers_ms = bounds.lingers_ms.max(row.gone_ms);
            self.arena.extend_from_slice(&row.gone_ms.to_le_bytes());
        }
        self.arena.extend_from_slice(row.bytes);
        list.first = at;
        list.max_ms = list.max_ms.max(row.time_ms);
        let bytes = u32::try_from(self.arena.len() - at).unwrap_or(u32::MAX);
        list.bytes = list.bytes.saturating_add(bytes);
        if let Some(due) = &mut self.due
            && flags & (MET | GONE) == 0
        {
            due.push(Reverse((row.gone_ms, id, at)));
        }
    }

    /// The rows of a list and where they are, the latest first.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        RowIter {
            arena: &self.arena,
            next: self.by_id[id as usize].first,
            keep_ms: self.keep_ms,
        }
    }

    /// The row at a place.
    pub(super) fn row(&self, at: usize) -> Option<TimedRow<'_>> {
        read_row(&self.arena, at, self.keep_ms).map(|(_, row)| row)
    }

    /// Marks the row at a place.
    pub(super) fn mark(&mut self, at: usize, flag: u8) {
        if let Some(flags) = self.arena.get_mut(at + FLAGS_AT) {
            *flags |= flag;
        }
    }

    /// When the first row goes that has met none, or earlier; the greatest time without one.
    pub(super) fn first_due_ms(&self) -> EpochMillis {
        match &self.due {
            None => self.first_due_ms,
            Some(due) => due
                .peek()
                .map_or(EpochMillis::MAX, |Reverse((gone_ms, ..))| *gone_ms),
        }
    }

    /// The next row that has met none and goes now: its list, and where it is. All rows are in memory.
    pub(super) fn next_due(&mut self, now_ms: EpochMillis) -> Option<(u32, usize)> {
        if self.due.is_none() {
            self.due = Some(self.alone().into());
        }
        let due = self.due.as_mut()?;
        while let Some(Reverse((gone_ms, id, at))) = due.peek().copied() {
            if gone_ms > now_ms {
                break;
            }
            due.pop();
            let flags = self.arena.get(at + FLAGS_AT).copied();
            if flags.is_some_and(|flags| flags & (MET | GONE) == 0) {
                return Some((id, at));
            }
        }
        None
    }

    /// The rows that have met none and are not taken away.
    fn alone(&self) -> Vec<Due> {
        let ids = 0..u32::try_from(self.by_id.len()).unwrap_or(u32::MAX);
        let rows = ids.flat_map(|id| self.iter(id).map(move |row| (id, row)));
        let alone = rows.filter(|(_, (_, row))| row.flags & (MET | GONE) == 0);
        alone
            .map(|(id, (at, row))| Reverse((row.gone_ms, id, at)))
            .collect()
    }

    /// Copies the rows in use together once more than half of the arena is waste.
    fn compact(&mut self) {
        if self.waste_bytes < COMPACT_WASTE_BYTES_MIN || self.waste_bytes * 2 < self.arena.len() {
            return;
        }
        let room = self.arena.len() - self.waste_bytes;
        let arena = std::mem::replace(&mut self.arena, Vec::with_capacity(room));
        (self.waste_bytes, self.due) = (0, None);
        for id in 0..self.by_id.len() {
            let list = &mut self.by_id[id];
            let rows = RowIter {
                arena: &arena,
                next: std::mem::replace(&mut list.first, END),
                keep_ms: self.keep_ms,
            };
            list.bytes = 0;
            // An id fits, as it came as one.
            self.push_all(u32::try_from(id).unwrap_or(u32::MAX), rows);
        }
    }

    /// Adds rows that come the latest first.
    fn push_all<'a>(&mut self, id: u32, rows: impl Iterator<Item = (usize, TimedRow<'a>)>) {
        let rows: Vec<TimedRow<'_>> = rows.map(|(_, row)| row).collect();
        rows.into_iter().rev().for_each(|row| self.push(id, row));
    }
}

/// The rows of a list and where they are.
#[derive(Debug)]
pub(super) struct RowIter<'a> {
    /// The rows of all lists.
    arena: &'a [u8],
    /// Where the next row is.
    next: usize,
    /// How long past its time a row is kept, milliseconds.
    keep_ms: i64,
}

impl<'a> Iterator for RowIter<'a> {
    type Item = (usize, TimedRow<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next;
        let (next, row) = read_row(self.arena, at, self.keep_ms)?;
        self.next = next;
        Some((at, row))
    }
}

/// The row at a place, and where the next one of its list is; absent at the end.
fn read_row(arena: &[u8], at: usize, keep_ms: i64) -> Option<(usize, TimedRow<'_>)> {
    let rest = arena.get(at..)?;
    let (head, mut rest) = rest.split_first_chunk::<HEAD_BYTES>()?;
    let (next, head) = head.split_first_chunk::<{ size_of::<usize>() }>()?;
    let (time_ms, head) = head.split_first_chunk::<8>()?;
    let (length, flags) = head.split_first_chunk::<4>()?;
    let time_ms = i64::from_le_bytes(*time_ms);
    let flags = *flags.first()?;
    let mut gone_ms = due_ms(time_ms, keep_ms);
    if flags & LINGERS != 0 {
        let (lingers_ms, behind) = rest.split_first_chunk::<8>()?;
        (gone_ms, rest) = (i64::from_le_bytes(*lingers_ms), behind);
    }
    let bytes = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let row = TimedRow {
        time_ms,
        gone_ms,
        flags: flags & !LINGERS,
        bytes,
    };
    Some((usize::from_le_bytes(*next), row))
}

impl Values for Lists {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.by_id, len, EMPTY);
    }

    fn clear(&mut self, id: u32) {
        let list = std::mem::replace(&mut self.by_id[id as usize], EMPTY);
        self.waste_bytes += list.bytes as usize;
        self.due = None;
        self.compact();
    }

    fn reset(&mut self) -> bool {
        self.by_id.clear();
        self.arena.clear();
        (self.waste_bytes, self.due) = (0, None);
        (self.bounds, self.first_due_ms) = (NO_BOUNDS, EpochMillis::MAX);
        true
    }

    fn look_ahead(&self, ids: &[u32]) {
        let held = || ids.iter().filter_map(|id| self.by_id.get(*id as usize));
        let lists = held().fold(0, |sum, list| list.first.wrapping_add(sum));
        let rows = held().filter_map(|list| self.arena.get(list.first));
        std::hint::black_box(rows.fold(lists, |sum, byte| sum.wrapping_add((*byte).into())));
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let list = &self.by_id[id as usize];
        out.put_u32(list.parts.into());
        out.put_i64(list.max_ms);
        out.put_u32(u32::try_from(self.iter(id).count()).unwrap_or(u32::MAX));
        for (_, row) in self.iter(id) {
            out.put_u8(row.flags);
            out.put_i64(row.time_ms);
            out.put_i64(row.gone_ms);
            out.put_bytes(row.bytes);
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let parts = input.u32()?;
        let max_ms = input.i64()?;
        let mut rows = Vec::new();
        for _ in 0..input.u32()? {
            let row = TimedRow {
                flags: input.u8()?,
                time_ms: input.i64()?,
                gone_ms: input.i64()?,
                bytes: input.bytes()?,
            };
            rows.push((0, row));
        }
        self.push_all(id, rows.into_iter());
        let list = &mut self.by_id[id as usize];
        list.parts = u16::try_from(parts).unwrap_or(u16::MAX);
        list.max_ms = max_ms;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.by_id.capacity() * size_of::<List>() + self.heap_bytes()
    }

    fn heap_bytes(&self) -> usize {
        let due = self.due.as_ref().map_or(0, BinaryHeap::capacity);
        self.arena.capacity() + due * size_of::<Due>()
    }
}
