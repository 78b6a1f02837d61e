//! Which rows of a batch are late.
//!
//! Place in the flow: a source whose table tells late rows apart asks it for every batch of a split. Invariant: pure, row by row: how
//! rows are cut into batches does not change what is late, so that a statement that leaves late rows out and one that reads only them
//! see every row of a partition once, if they begin at the same place.

use arrow::array::{Array, BooleanArray, Int64Array};

use crate::plan::LateRows;
use crate::time::EpochMillis;

/// The rows that go on, as a mask; absent when all do.
///
/// `rowtimes` and `watermarks` are those of the rows, epoch milliseconds; `watermark_ms` is what the rows before them allow. A row is
/// late when the watermark of the rows before it has reached its time. Rows without a time are never late.
///
/// # Source
/// Flink: a watermark of `t` says that no row of a time up to `t` will follow.
pub(super) fn kept(
    late: LateRows,
    rowtimes: &Int64Array,
    watermarks: &Int64Array,
    watermark_ms: Option<EpochMillis>,
) -> Option<BooleanArray> {
    let wants_late = match late {
        LateRows::PassThrough => return None,
        LateRows::Filter => false,
        LateRows::Only => true,
    };
    let mut reached = watermark_ms;
    let is_late = |row: usize| {
        let is_late = rowtimes.is_valid(row) && reached >= Some(rowtimes.value(row));
        if watermarks.is_valid(row) {
            reached = reached.max(Some(watermarks.value(row)));
        }
        is_late == wants_late
    };
    let mask: Vec<bool> = (0..rowtimes.len()).map(is_late).collect();
    (!mask.iter().all(|kept| *kept)).then(|| mask.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of these times that are kept, with watermarks one behind.
    fn rows(late: LateRows, times: &[Option<i64>], before: Option<i64>) -> Vec<usize> {
        let rowtimes = Int64Array::from(times.to_vec());
        let watermarks: Int64Array = times.iter().map(|time| time.map(|t| t - 1)).collect();
        let mask = kept(late, &rowtimes, &watermarks, before);
        (0..times.len())
            .filter(|row| mask.as_ref().is_none_or(|mask| mask.value(*row)))
            .collect()
    }

    #[test]
    fn a_row_is_late_when_the_rows_before_it_have_passed_its_time() {
        let times = [Some(5), Some(4), Some(9), None, Some(8), Some(9), Some(10)];
        assert_eq!(rows(LateRows::Filter, &times, None), [0, 2, 3, 5, 6]);
        assert_eq!(rows(LateRows::Only, &times, None), [1, 4]);
        assert_eq!(rows(LateRows::PassThrough, &times, None).len(), 7);
        assert_eq!(rows(LateRows::Filter, &times, Some(9)), [3, 6]);
    }

    #[test]
    fn batches_do_not_change_what_is_late() {
        let times = [Some(5), Some(4), Some(9), None, Some(8), Some(9), Some(3)];
        for cut in 0..times.len() {
            let (first, second) = times.split_at(cut);
            let reached = first.iter().flatten().max().map(|time| time - 1);
            let mut found = rows(LateRows::Only, first, None);
            let behind = rows(LateRows::Only, second, reached);
            found.extend(behind.iter().map(|row| row + cut));
            assert_eq!(found, rows(LateRows::Only, &times, None), "cut at {cut}");
        }
    }
}
