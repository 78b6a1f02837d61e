//! Looking at the rows of a partition, which changes nothing.
//!
//! Place in the flow: the half of [`OrderedRows`] that reads. Invariant: rows are shown in order.

use std::ops::{Bound, ControlFlow, RangeBounds};

use super::chunk::is_within;
use super::{Head, OrderedRows, PartitionKey};
use crate::error::Result;
use crate::time::EpochMillis;

impl OrderedRows {
    /// A partition, if it has rows.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn find_partition(
        &mut self,
        partition: PartitionKey<'_>,
        now_ms: EpochMillis,
    ) -> Result<Option<Head>> {
        Ok(self.find(partition, 0, now_ms)?.map(Head))
    }

    /// The sort key of the first row of a partition.
    pub fn first_of(&self, Head(head): Head) -> Option<&[u8]> {
        self.chunks.values().first(head, 0)
    }

    /// Rows of a partition. Rows of chunks whose state has expired may be among them.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn len(&mut self, partition: PartitionKey<'_>, now_ms: EpochMillis) -> Result<usize> {
        let head = self.find(partition, 0, now_ms)?;
        Ok(head.map_or(0, |head| self.chunks.values().total(head)))
    }

    /// The row at a place in the order, from 0 on: sort key and row.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn nth(
        &mut self,
        partition: PartitionKey<'_>,
        place: usize,
        now_ms: EpochMillis,
    ) -> Result<Option<(&[u8], &[u8])>> {
        match self.find_partition(partition, now_ms)? {
            Some(head) => self.nth_in((partition, head), place, now_ms),
            None => Ok(None),
        }
    }

    /// As [`Self::nth`], of a partition that was found.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn nth_in(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        place: usize,
        now_ms: EpochMillis,
    ) -> Result<Option<(&[u8], &[u8])>> {
        let Some((number, rest)) = self.chunks.values().chunk_of(head, place) else {
            return Ok(None);
        };
        let Some(id) = self.chunk((partition, head), number, now_ms)? else {
            return Ok(None);
        };
        Ok(self.chunks.values().nth(id, rest))
    }

    /// Rows that come before a sort key, or not after it.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn count_until(
        &mut self,
        partition: PartitionKey<'_>,
        until: Bound<&[u8]>,
        now_ms: EpochMillis,
    ) -> Result<usize> {
        match self.find_partition(partition, now_ms)? {
            Some(head) => self.count_until_in((partition, head), until, now_ms),
            None => Ok(0),
        }
    }

    /// As [`Self::count_until`], of a partition that was found.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn count_until_in(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        until: Bound<&[u8]>,
        now_ms: EpochMillis,
    ) -> Result<usize> {
        let mut count = 0;
        for place in 0..self.chunks.values().len(head) {
            let chunks = self.chunks.values();
            // Rows of a chunk come before the first of the next one, or are equal to it.
            if chunks
                .first(head, place + 1)
                .is_some_and(|next| is_within(next, until))
            {
                count += chunks.rows(head, place);
                continue;
            }
            let number = chunks.number(head, place);
            if let Some(id) = self.chunk((partition, head), number, now_ms)? {
                count += self.chunks.values().end_of(id, (until, usize::MAX)).1;
            }
            break;
        }
        Ok(count)
    }

    /// Shows the rows within bounds in order, sort key and row, until `visit` breaks; nothing is to be changed meanwhile.
    ///
    /// # Errors
    /// As [`Self::insert`], and what `visit` returns.
    pub fn visit<'k>(
        &mut self,
        partition: PartitionKey<'_>,
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self.find_partition(partition, now_ms)? {
            Some(head) => self.visit_in((partition, head), range, now_ms, visit),
            None => Ok(()),
        }
    }

    /// As [`Self::visit`], for a partition that was found.
    ///
    /// # Errors
    /// As [`Self::visit`].
    pub fn visit_in<'k>(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let first = match range.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(sort) | Bound::Excluded(sort) => {
                self.chunks.values().places_with(head, sort).start
            }
        };
        let end = range.end_bound().cloned();
        for place in first..self.chunks.values().len(head) {
            let chunks = self.chunks.values();
            if chunks
                .first(head, place)
                .is_some_and(|first| !is_within(first, end))
            {
                break;
            }
            let number = chunks.number(head, place);
            let Some(id) = self.chunk((partition, head), number, now_ms)? else {
                continue;
            };
            for (sort, row) in self.chunks.values().iter(id) {
                if range.contains(&sort) && visit(sort, row)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Shows the rows within bounds from the last to the first, as [`Self::visit`].
    ///
    /// # Errors
    /// As [`Self::visit`].
    pub fn visit_back<'k>(
        &mut self,
        partition: PartitionKey<'_>,
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(());
        };
        let end = match range.end_bound() {
            Bound::Unbounded => self.chunks.values().len(head),
            Bound::Included(sort) | Bound::Excluded(sort) => {
                self.chunks.values().places_with(head, sort).end
            }
        };
        for place in (0..end).rev() {
            let number = self.chunks.values().number(head, place);
            if let Some(id) = self.chunk((partition, head), number, now_ms)? {
                let rows: Vec<_> = self.chunks.values().iter(id).collect();
                for (sort, row) in rows.into_iter().rev() {
                    if range.contains(&sort) && visit(sort, row)?.is_break() {
                        return Ok(());
                    }
                }
            }
            // Rows before this chunk come before its first row, or are equal to it.
            let first = self.chunks.values().first(head, place);
            let is_over = match range.start_bound() {
                Bound::Unbounded => false,
                Bound::Included(start) => first.is_some_and(|first| first < *start),
                Bound::Excluded(start) => first.is_some_and(|first| first <= *start),
            };
            if is_over {
                break;
            }
        }
        Ok(())
    }
}
