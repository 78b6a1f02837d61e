//! Which slice each row of a batch is in.
//!
//! Place in the flow: operators of windows ask it first. Invariant: rows keep their order within a slice. A slice of windows that were
//! assigned before is the window itself.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::OperatorContext;
use crate::operator::window::shape::{Shape, SliceOf};
use crate::operator::window::zone::Zone;
use crate::plan::{TimeDomain, Window};
use crate::types::{FlinkType, TypeKind};

/// Assigns rows to slices.
#[derive(Debug)]
pub struct Assigner {
    /// Where times come from.
    source: Source,
    /// The windows.
    shape: Shape,
    /// Their time zone.
    zone: Zone,
    /// The clock that closes them.
    domain: TimeDomain,
}

/// Where the time of a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A rowtime column.
    Column(usize),
    /// The clock.
    Clock,
    /// The column with the end of the window.
    End(usize),
}

/// Rows of a batch that follow one another and are in one slice.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// End of the slice.
    end_ms: i64,
    /// First row.
    first: usize,
    /// Rows.
    rows: usize,
}

/// Rows that are compared at once with the bounds of a slice (guess, unmeasured: a few vector registers).
const BLOCK_ROWS: usize = 64;

/// Rows of a run from which on it is worth a call of its own (guess, unmeasured).
const RUN_ROWS: usize = 32;

impl Source {
    /// Where the time of a window's rows comes from.
    pub fn of(window: &Window) -> Self {
        match (window.attached, window.domain) {
            (Some(attached), _) => Self::End(attached.end),
            (None, TimeDomain::Event) => Self::Column(window.time),
            (None, TimeDomain::Processing) => Self::Clock,
        }
    }

    /// The time zone of windows over an input of these columns.
    ///
    /// # Errors
    /// As [`Zone::new`].
    pub fn zone(self, window: &Window, input: &[FlinkType]) -> Result<Zone> {
        match self {
            Self::Column(time) => Zone::of(&window.time_zone, &input[time]),
            Self::Clock => Zone::of(&window.time_zone, &TypeKind::TimestampLtz(3).not_null()),
            Self::End(_) => Zone::new(&window.time_zone),
        }
    }

    /// The local times of rows.
    ///
    /// # Errors
    /// `Data` when a row's time is NULL, which no window can hold.
    pub fn times(
        self,
        batch: &Batch,
        zone: Zone,
        context: &OperatorContext<'_>,
    ) -> Result<ScalarBuffer<i64>> {
        let column = match self {
            Self::Clock => {
                let now_ms = zone.to_local(context.clock.now_ms());
                return Ok(vec![now_ms; batch.rows].into());
            }
            Self::End(column) => return millis(&batch.columns[column]),
            Self::Column(column) => column,
        };
        let times = millis(&batch.columns[column])?;
        if zone.is_utc() {
            return Ok(times);
        }
        let mut times = times.to_vec();
        zone.all_to_local(&mut times);
        Ok(times.into())
    }
}

/// The milliseconds of a column of times.
///
/// # Errors
/// `Data` for a NULL; `Internal` for a column of another type.
pub(super) fn millis(column: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    if column.null_count() > 0 {
        return Err(Error::deserialization(
            "the rowtime column holds a NULL, which no window can take; filter such rows out",
        ));
    }
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => column
            .as_primitive::<TimestampMillisecondType>()
            .values()
            .clone(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>().values();
            values.iter().map(|value| value.div_euclid(1000)).collect()
        }
        other => return Err(Error::internal(format!("a rowtime of type {other}"))),
    })
}

impl Assigner {
    /// An assigner of a plan's window over an input of these columns; absent for sessions.
    ///
    /// # Errors
    /// As [`Shape::new`] and [`Zone::new`].
    pub fn new(window: &Window, input: &[FlinkType]) -> Result<Option<Self>> {
        let Some(shape) = Shape::new(&window.kind)? else {
            return Ok(None);
        };
        let source = Source::of(window);
        Ok(Some(Self {
            source,
            shape,
            zone: source.zone(window, input)?,
            domain: window.domain,
        }))
    }

    /// The windows.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Their time zone.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The clock that closes them.
    pub fn domain(&self) -> TimeDomain {
        self.domain
    }

    /// Whether rows come with their windows.
    pub fn is_attached(&self) -> bool {
        matches!(self.source, Source::End(_))
    }

    /// The local times of rows.
    ///
    /// # Errors
    /// As [`Source::times`].
    pub fn times(&self, batch: &Batch, context: &OperatorContext<'_>) -> Result<ScalarBuffer<i64>> {
        self.source.times(batch, self.zone, context)
    }

    /// The rows of each slice.
    ///
    /// # Errors
    /// As [`Source::times`].
    pub fn parts(&self, batch: &Batch, context: &OperatorContext<'_>) -> Result<Vec<(i64, Batch)>> {
        if let Source::End(column) = self.source {
            return by_value(batch, column);
        }
        let times = self.times(batch, context)?;
        split(batch, &times, |time_ms| self.shape.slice_of(time_ms))
    }
}

/// The rows of each value of a column, by the value.
///
/// # Errors
/// As [`millis`].
pub(super) fn by_value(batch: &Batch, column: usize) -> Result<Vec<(i64, Batch)>> {
    let times = millis(&batch.columns[column])?;
    let mut parts = split(batch, &times, |value| SliceOf {
        start_ms: value,
        end_ms: value + 1,
    })?;
    for (value, _) in &mut parts {
        *value -= 1;
    }
    Ok(parts)
}

/// The rows of each slice, by its end.
fn split(
    batch: &Batch,
    times: &[i64],
    slice_of: impl Fn(i64) -> SliceOf,
) -> Result<Vec<(i64, Batch)>> {
    let runs = runs(times, slice_of);
    if let [run] = runs.as_slice() {
        return Ok(vec![(run.end_ms, batch.clone())]);
    }
    if runs.len() * RUN_ROWS <= times.len() {
        let parts = runs.iter();
        return Ok(parts
            .map(|run| (run.end_ms, batch.slice(run.first, run.rows)))
            .collect());
    }
    let mut slices: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for run in runs {
        let rows = u32::try_from(run.first).unwrap_or(u32::MAX)..;
        let rows = rows.take(run.rows);
        slices.entry(run.end_ms).or_default().extend(rows);
    }
    let parts = slices.into_iter();
    parts
        .map(|(end_ms, rows)| Ok((end_ms, batch.take(&UInt32Array::from(rows))?)))
        .collect()
}

/// Where the slice changes from row to row.
fn runs(times: &[i64], slice_of: impl Fn(i64) -> SliceOf) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut first = 0;
    while let Some(time_ms) = times.get(first) {
        let slice = slice_of(*time_ms);
        let length = (slice.end_ms - slice.start_ms).unsigned_abs();
        let is_in = |time_ms: &i64| time_ms.wrapping_sub(slice.start_ms).cast_unsigned() < length;
        let mut next = first + 1;
        for block in times[next..].chunks(BLOCK_ROWS) {
            if block.iter().fold(true, |all, time_ms| all & is_in(time_ms)) {
                next += block.len();
            } else {
                next += block.iter().take_while(|time_ms| is_in(time_ms)).count();
                break;
            }
        }
        runs.push(Run {
            end_ms: slice.end_ms,
            first,
            rows: next - first,
        });
        first = next;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMillisecondArray;

    use super::*;
    use crate::metering::SubtaskMetrics;
    use crate::plan::WindowKind;
    use crate::time::SystemClock;

    #[test]
    fn rows_of_a_slice_keep_their_order_however_they_are_mixed() {
        let window = Window {
            time: 0,
            kind: WindowKind::Tumble {
                size_ms: 10,
                offset_ms: 0,
            },
            time_zone: "UTC".to_owned(),
            partition: Vec::new(),
            domain: TimeDomain::Event,
            attached: None,
        };
        let types = [TypeKind::Timestamp(3).not_null()];
        let assigner = Assigner::new(&window, &types).unwrap().unwrap();
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: None,
            metrics: &metrics,
        };
        let mixed: Vec<i64> = (0..300).map(|n| (n * 7) % 40 - 5).collect();
        let sorted: Vec<i64> = (0..300).map(|n| n / 10).collect();
        let one: Vec<i64> = (0..300).map(|n| n % 10).collect();
        for times in [mixed, sorted, one] {
            let mut expected: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for time in &times {
                let end = time.div_euclid(10) * 10 + 10;
                expected.entry(end).or_default().push(*time);
            }
            let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(times));
            let batch = Batch::inserts(vec![column], 300);
            let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for (end, part) in assigner.parts(&batch, &context).unwrap() {
                let times = millis(&part.columns[0]).unwrap();
                found.entry(end).or_default().extend(times.iter());
            }
            assert_eq!(found, expected);
        }
    }
}
