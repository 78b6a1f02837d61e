//! The state of an operator as a whole: all its tables together.
//!
//! Place in the flow: the subtask that runs an operator takes its snapshots and restores it through this file. Invariant: an entry
//! goes to the table with its number, or is refused.

use crate::checkpoint::entry::{Entry, KeyGroupDelta};
use crate::error::{Error, Result};
use crate::operator::Operator;
use crate::state::codec::Reader;
use crate::state::{Deltas, ExportVisit, HandedOver, StateTable};
use crate::time::EpochMillis;

/// The bit of a table's number that says how its values are stored and not which table it is.
const TABLE_NUMBER: u8 = 0x7f;

/// The barrier: what has changed belongs to the snapshot.
pub fn freeze(operator: &mut dyn Operator) {
    operator.visit_state(&mut |table| table.freeze());
}

/// Writes about `limit` keys of the snapshot per table; true once all tables are complete.
///
/// # Errors
/// `Internal` only.
pub fn write_frozen(operator: &mut dyn Operator, limit: usize) -> Result<bool> {
    let mut outcome = Ok(true);
    operator.visit_state(&mut |table| {
        outcome = match (
            std::mem::replace(&mut outcome, Ok(true)),
            table.write_frozen(limit),
        ) {
            (Ok(so_far), Ok(is_complete)) => Ok(so_far && is_complete),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
    });
    outcome
}

/// Memory of what was written of the snapshot and not taken, in bytes.
pub fn written_bytes(operator: &mut dyn Operator) -> usize {
    let mut bytes = 0;
    operator.visit_state(&mut |table| bytes += table.snapshot_bytes());
    bytes
}

/// Takes what was written of the snapshot: the key groups that have changed.
pub fn take(operator: &mut dyn Operator) -> Vec<KeyGroupDelta> {
    let mut deltas = Deltas::default();
    operator.visit_state(&mut |table| table.take_snapshot(&mut deltas));
    deltas.into_groups()
}

/// Freezes, writes and takes at once, for an operator that does nothing more.
///
/// # Errors
/// `Internal` only.
pub fn take_now(operator: &mut dyn Operator) -> Result<Vec<KeyGroupDelta>> {
    freeze(operator);
    while !write_frozen(operator, usize::MAX)? {}
    Ok(take(operator))
}

/// Takes over an entry of a checkpoint or of another subtask.
///
/// # Errors
/// `Corrupt` when it is not of this operator.
pub fn load(operator: &mut dyn Operator, key_group: u32, entry: &Entry<'_>) -> Result<()> {
    let number = entry.place().table & TABLE_NUMBER;
    let mut outcome = None;
    operator.visit_state(&mut |table| {
        if table.number() == number {
            outcome = Some(table.load(key_group, entry));
        }
    });
    outcome.unwrap_or_else(|| {
        Err(Error::corrupt(format!(
            "state of table {number}, which the operator does not have"
        )))
    })
}

/// Takes over the entries of one key group.
///
/// # Errors
/// As [`load`].
pub fn load_all(operator: &mut dyn Operator, delta: &KeyGroupDelta) -> Result<()> {
    let mut input = Reader::new(&delta.entries);
    while let Some(entry) = Entry::read(&mut input)? {
        load(operator, delta.key_group, &entry)?;
    }
    Ok(())
}

/// Shows every key of every table as an entry.
///
/// # Errors
/// What `visit` returns; `Unavailable` when spilled state cannot be read.
pub fn export(operator: &mut dyn Operator, visit: &mut ExportVisit<'_>) -> Result<()> {
    let mut outcome = Ok(());
    operator.visit_state(&mut |table| {
        if outcome.is_ok() {
            outcome = table.export(visit);
        }
    });
    outcome
}

/// Gives the keys of all tables to other slots, by number of the table. Of a table whose keys are partly on disk they stay here, to be
/// shown by [`export`].
pub fn hand_over(operator: &mut dyn Operator) -> Vec<(u8, HandedOver)> {
    let mut handed = Vec::new();
    operator.visit_state(&mut |table| {
        let number = table.number();
        handed.extend(table.hand_over().map(|keys| (number, keys)));
    });
    handed
}

/// Takes the keys that are owned here of those which a table with this number has handed over.
///
/// # Errors
/// `Internal` when it was another kind of table.
pub fn take_over(
    operator: &mut dyn Operator,
    (number, handed): &(u8, HandedOver),
    owns: &dyn Fn(u32) -> bool,
) -> Result<()> {
    try_visit(operator, &mut |table| {
        if table.number() == *number {
            table.take_over(handed, owns)?;
        }
        Ok(())
    })
}

/// Copies some of the keys that were handed over; looks at about `limit` per table.
///
/// # Errors
/// As [`StateTable::take_over_some`].
pub fn take_over_some(operator: &mut dyn Operator, limit: usize) -> Result<()> {
    try_visit(operator, &mut |table| table.take_over_some(limit))
}

/// Takes what the next snapshot begins with, which was moved out of memory before its barrier.
pub fn take_begun(operator: &mut dyn Operator) -> Vec<KeyGroupDelta> {
    let mut deltas = Deltas::default();
    operator.visit_state(&mut |table| table.take_begun(&mut deltas));
    deltas.into_groups()
}

/// Moves cold keys out of memory so that no table grows with the next batches.
///
/// # Errors
/// `Unavailable` when the device refuses.
pub fn make_room(operator: &mut dyn Operator) -> Result<()> {
    try_visit(operator, &mut |table| table.make_room())
}

/// Moves cold keys out of memory, of the largest table first, until all of them take about `limit_bytes`.
///
/// # Errors
/// `Unavailable` when the device refuses.
pub fn shrink(operator: &mut dyn Operator, limit_bytes: usize) -> Result<()> {
    let mut sizes = Vec::new();
    operator.visit_state(&mut |table| sizes.push((table.memory_bytes(), table.number())));
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let total: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
    let mut excess = total.saturating_sub(limit_bytes);
    for (bytes, number) in sizes {
        if excess == 0 {
            break;
        }
        try_visit(operator, &mut |table| {
            if table.number() == number {
                table.shrink(bytes.saturating_sub(excess))?;
                excess = excess.saturating_sub(bytes.saturating_sub(table.memory_bytes()));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Forgets some keys that were not written for the TTL.
///
/// # Errors
/// `Unavailable` when the device refuses.
pub fn expire(operator: &mut dyn Operator, now_ms: EpochMillis) -> Result<()> {
    try_visit(operator, &mut |table| table.expire(now_ms))
}

/// Shows every table until one fails.
fn try_visit(
    operator: &mut dyn Operator,
    visit: &mut dyn FnMut(&mut dyn StateTable) -> Result<()>,
) -> Result<()> {
    let mut outcome = Ok(());
    operator.visit_state(&mut |table| {
        if outcome.is_ok() {
            outcome = visit(table);
        }
    });
    outcome
}

/// What the tables of an operator hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Memory, bytes.
    pub bytes: usize,
    /// Keys, those on disk included.
    pub keys: usize,
    /// Keys that other slots have handed over and that are not copied yet.
    pub handed_keys: usize,
    /// Memory of what the next snapshot begins with, bytes.
    pub begun_bytes: usize,
    /// What the table that grows next is going to take, if one soon does, bytes.
    pub growth_bytes: usize,
}

/// What all tables hold.
pub fn measure(operator: &mut dyn Operator) -> Size {
    let mut size = Size::default();
    operator.visit_state(&mut |table| {
        size.bytes += table.memory_bytes();
        size.keys += table.keys();
        size.handed_keys += table.handed_keys();
        size.begun_bytes += table.begun_bytes();
        size.growth_bytes = size.growth_bytes.max(table.growth_bytes());
    });
    size
}
