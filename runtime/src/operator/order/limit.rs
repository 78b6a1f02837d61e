//! `LIMIT` and `OFFSET` without an order, over rows that stay.
//!
//! Place in the flow: after an exchange that brings all rows to one subtask. Invariant: what is emitted are the rows from one place to
//! another in the order in which they came, across restarts.
//!
//! # Source
//! Flink 2.3: `StreamExecLimit`, a Top-N over no order. Rows that may be taken back go to [`super::rank`].

use super::numbers::{Numbers, whole_input};
use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::plan::Sort;
use crate::state::{KeyedTable, StateConfig};

/// Number of the only table.
const COUNT_TABLE: u8 = 0;

/// Emits the first rows.
#[derive(Debug)]
pub struct Limit {
    /// Rows that are skipped.
    start: u64,
    /// Rows until the last that is emitted.
    end: u64,
    /// Key groups of the statement.
    key_groups: u32,
    /// Rows that came, as long as that matters.
    count: KeyedTable<Numbers>,
}

impl Limit {
    /// No rows yet.
    pub fn new(sort: &Sort, state: StateConfig) -> Self {
        Self {
            start: sort.offset,
            end: sort
                .fetch
                .map_or(u64::MAX, |fetch| sort.offset.saturating_add(fetch)),
            key_groups: state.key_groups,
            count: KeyedTable::new(COUNT_TABLE, Numbers::default(), state),
        }
    }
}

impl Operator for Limit {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let key = whole_input(self.key_groups);
        let now_ms = context.state_time_ms();
        let found = self.count.find_in(key.bytes, key.key_group, now_ms)?;
        let count = found.map_or(0, |id| self.count.values().0[id as usize]);
        let count = count.cast_unsigned();
        if count >= self.end {
            return Ok(());
        }
        let rows = batch.rows as u64;
        let within = |place: u64| usize::try_from(place.saturating_sub(count).min(rows));
        let (first, end) = (within(self.start), within(self.end));
        // Both are at most the rows of the batch.
        let (first, end) = (first.unwrap_or(batch.rows), end.unwrap_or(batch.rows));
        out.emit(batch.slice(first, end.saturating_sub(first)));
        let (id, _) = self.count.upsert_in(key.bytes, key.key_group, now_ms)?;
        self.count.values_mut().0[id as usize] = count.saturating_add(rows).cast_signed();
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.count);
    }
}
