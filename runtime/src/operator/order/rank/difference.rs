//! What differs between the first rows of a key before and after a batch.
//!
//! Place in the flow: [`super::Rank`] emits it. Invariant: taken back is only what was there before, and what is there afterwards and was
//! not before is emitted.

use std::cmp::Ordering;

use hashbrown::HashMap;

use crate::batch::RowKind;
use crate::operator::order::rows::{Changes, SortedRows};

/// Emits each rank whose row is another one. The first `skip` rows have ranks that are not asked for; `base` ranks come before.
pub(super) fn emit_ranks(
    (before, after): (&SortedRows, &SortedRows),
    (skip, base): (usize, usize),
    changes: &mut Changes,
) {
    for place in skip..before.len().max(after.len()) {
        let rank = i64::try_from(base + place + 1).unwrap_or(i64::MAX);
        match (before.get(place), after.get(place)) {
            (Some((_, old)), Some((_, new))) if old != new => {
                changes.push_numbered(RowKind::UpdateBefore, old, rank);
                changes.push_numbered(RowKind::UpdateAfter, new, rank);
            }
            (Some((_, old)), None) => changes.push_numbered(RowKind::Delete, old, rank),
            (None, Some((_, new))) => changes.push_numbered(RowKind::Insert, new, rank),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Emits the rows that leave, then those that enter. The first `skip` rows have ranks that are not asked for.
pub(super) fn emit_members(
    (before, after): (&SortedRows, &SortedRows),
    skip: usize,
    changes: &mut Changes,
) {
    let mut left = Vec::new();
    let mut entered = Vec::new();
    let (mut old, mut new) = (skip, skip);
    loop {
        match (before.get(old), after.get(new)) {
            (Some(held), Some(now)) if held == now => (old, new) = (old + 1, new + 1),
            (Some(held), Some(now)) => match held.0.cmp(now.0) {
                Ordering::Less => {
                    left.push(old);
                    old += 1;
                }
                Ordering::Greater => {
                    entered.push(new);
                    new += 1;
                }
                Ordering::Equal => {
                    let sort = held.0;
                    let (old_end, new_end) = (end_of(before, old, sort), end_of(after, new, sort));
                    among_equals(
                        (before, old..old_end),
                        (after, new..new_end),
                        &mut left,
                        &mut entered,
                    );
                    (old, new) = (old_end, new_end);
                }
            },
            (Some(_), None) => {
                left.push(old);
                old += 1;
            }
            (None, Some(_)) => {
                entered.push(new);
                new += 1;
            }
            (None, None) => break,
        }
    }
    for (_, row) in left.iter().filter_map(|place| before.get(*place)) {
        changes.push(RowKind::Delete, row);
    }
    for (_, row) in entered.iter().filter_map(|place| after.get(*place)) {
        changes.push(RowKind::Insert, row);
    }
}

/// Where the rows that are equal in order to the one at a place end.
fn end_of(rows: &SortedRows, place: usize, sort: &[u8]) -> usize {
    let is_equal = |place: &usize| rows.get(*place).is_some_and(|(other, _)| other == sort);
    (place..rows.len()).take_while(is_equal).count() + place
}

/// Rows with their places.
type Part<'a> = (&'a SortedRows, std::ops::Range<usize>);

/// Finds the rows that leave and enter among those that are equal in order, whatever their places.
fn among_equals(
    (before, old): Part<'_>,
    (after, new): Part<'_>,
    left: &mut Vec<usize>,
    entered: &mut Vec<usize>,
) {
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for (_, row) in old.clone().filter_map(|place| before.get(place)) {
        *counts.entry(row).or_default() += 1;
    }
    let mut take = |row: Option<(&[u8], &[u8])>| {
        let count = row.and_then(|(_, row)| counts.get_mut(row));
        match count {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            Some(_) | None => false,
        }
    };
    entered.extend(new.filter(|place| !take(after.get(*place))));
    left.extend(old.filter(|place| take(before.get(*place))));
}
