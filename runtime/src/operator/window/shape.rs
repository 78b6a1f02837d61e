//! The arithmetic of windows that do not depend on the rows in them.
//!
//! Place in the flow: operators of such windows ask it which windows a time is in. Invariant: times are local; starts are inclusive
//! and ends exclusive; every window is made of whole slices, and a time is in exactly one slice.

use crate::error::{Error, Result};
use crate::plan::WindowKind;

/// Windows of a fixed shape, in milliseconds of local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length of a slice.
    slice_ms: i64,
    /// Between the ends of windows that follow one another.
    step_ms: i64,
    /// Greatest length of a window.
    size_ms: i64,
    /// Shift from the epoch.
    offset_ms: i64,
    /// Whether the windows of one start grow by the step up to the greatest length.
    grows: bool,
}

/// The slice that a time is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceOf {
    /// Its inclusive start.
    pub start_ms: i64,
    /// Its exclusive end, which is its name.
    pub end_ms: i64,
}

impl Shape {
    /// The shape of a plan's windows; absent for sessions.
    ///
    /// # Errors
    /// `Invalid` for lengths that are not positive, which the binder has refused already.
    pub fn new(kind: &WindowKind) -> Result<Option<Self>> {
        let (size_ms, step_ms, offset_ms, grows) = match *kind {
            WindowKind::Tumble { size_ms, offset_ms } => (size_ms, size_ms, offset_ms, false),
            WindowKind::Hop {
                size_ms,
                slide_ms,
                offset_ms,
            } => (size_ms, slide_ms, offset_ms, false),
            WindowKind::Cumulate {
                size_ms,
                step_ms,
                offset_ms,
            } => (size_ms, step_ms, offset_ms, true),
            WindowKind::Session { .. } => return Ok(None),
        };
        if size_ms <= 0 || step_ms <= 0 {
            return Err(Error::validation(format!(
                "the size of a window must be positive, not {size_ms} ms by {step_ms} ms"
            )));
        }
        Ok(Some(Self {
            slice_ms: greatest_common_divisor(size_ms, step_ms),
            step_ms,
            size_ms,
            offset_ms,
            grows,
        }))
    }

    /// Whether every time is in exactly one window, which is a slice.
    pub fn is_tumbling(&self) -> bool {
        !self.grows && self.step_ms == self.size_ms
    }

    /// Whether the windows of one start grow.
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// Greatest length of a window.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// The slice of a time.
    pub fn slice_of(&self, time_ms: i64) -> SliceOf {
        let start_ms = self.floor(time_ms, self.slice_ms);
        SliceOf {
            start_ms,
            end_ms: start_ms + self.slice_ms,
        }
    }

    /// The latest start of a stretch of that length that is not after a time.
    fn floor(&self, time_ms: i64, length_ms: i64) -> i64 {
        time_ms - (time_ms - self.offset_ms).rem_euclid(length_ms)
    }

    /// The ends of the first and the last window that hold the slice with this end. When windows leave gaps and the slice is in one,
    /// the first is behind the last.
    pub fn windows_of(&self, slice_end_ms: i64) -> (i64, i64) {
        let start_ms = slice_end_ms - self.slice_ms;
        if self.grows {
            return (
                slice_end_ms,
                self.floor(start_ms, self.size_ms) + self.size_ms,
            );
        }
        let last_ms = self.floor(start_ms, self.step_ms) + self.size_ms;
        let more = (last_ms - slice_end_ms).div_euclid(self.step_ms);
        (last_ms - more * self.step_ms, last_ms)
    }

    /// The ends of all windows that hold the slice with this end.
    pub fn all_windows_of(&self, slice_end_ms: i64) -> impl Iterator<Item = i64> + use<> {
        let (first_ms, last_ms) = self.windows_of(slice_end_ms);
        let step = usize::try_from(self.step_ms).unwrap_or(usize::MAX);
        (first_ms..=last_ms).step_by(step)
    }

    /// The end of the first window from `first_ms` to `last_ms` for which `is_done`, which is never true behind one for which it is
    /// not, is false.
    pub fn first_where_not(
        &self,
        (first_ms, last_ms): (i64, i64),
        is_done: impl Fn(i64) -> bool,
    ) -> Option<i64> {
        if first_ms > last_ms {
            return None;
        }
        let (mut low, mut high) = (0, (last_ms - first_ms) / self.step_ms + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_done(first_ms + middle * self.step_ms) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(first_ms + low * self.step_ms).filter(|end_ms| *end_ms <= last_ms)
    }

    /// The ends of the windows with the same start as the one that ends last among them.
    pub fn growing(&self, last_ms: i64) -> (i64, i64) {
        (last_ms - self.size_ms + self.step_ms, last_ms)
    }

    /// The inclusive start of the window with this end.
    pub fn start_of(&self, end_ms: i64) -> i64 {
        if self.grows {
            self.floor(end_ms - 1, self.size_ms)
        } else {
            end_ms - self.size_ms
        }
    }
}

/// The greatest number that divides both, which are positive.
fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The shape of a kind.
    fn shape(kind: &WindowKind) -> Shape {
        Shape::new(kind).unwrap().unwrap()
    }

    #[test]
    fn windows_include_their_start_and_exclude_their_end() {
        let tumble = |offset_ms| {
            shape(&WindowKind::Tumble {
                size_ms: 10,
                offset_ms,
            })
        };
        let end = |offset_ms, time_ms| tumble(offset_ms).slice_of(time_ms).end_ms;
        assert_eq!(
            [end(0, 0), end(0, 9), end(0, 10), end(0, -1)],
            [10, 10, 20, 0]
        );
        assert_eq!([end(3, 12), end(-3, 7)], [13, 17]);
        assert_eq!(tumble(3).windows_of(13), (13, 13));
    }

    proptest! {
        /// Windows of a time by definition: of every start, those that hold it.
        #[test]
        fn windows_of_a_slice_are_those_that_hold_its_times(
            (size, step, steps) in (1i64..30, 1i64..12, 1i64..6),
            (time, offset) in (-100i64..100, -7i64..7),
            grows in any::<bool>(),
        ) {
            let kind = if grows {
                WindowKind::Cumulate { size_ms: step * steps, step_ms: step, offset_ms: offset }
            } else {
                WindowKind::Hop { size_ms: size, slide_ms: step, offset_ms: offset }
            };
            let shape = shape(&kind);
            let mut expected = Vec::new();
            for number in -300..300 {
                if grows {
                    let start = offset + number * step * steps;
                    let ends = (1..=steps).map(|n| start + n * step);
                    expected.extend(ends.filter(|end| start <= time && time < *end).map(|end| (start, end)));
                } else {
                    let start = offset + number * step;
                    if start <= time && time < start + size {
                        expected.push((start, start + size));
                    }
                }
            }
            let slice = shape.slice_of(time);
            prop_assert!(slice.start_ms <= time && time < slice.end_ms);
            let found: Vec<_> = shape.all_windows_of(slice.end_ms).map(|end| (shape.start_of(end), end)).collect();
            prop_assert_eq!(&found, &expected);
            for done in 0..=expected.len() {
                let limit = expected.get(done).map(|(_, end)| *end);
                let next = shape.first_where_not(shape.windows_of(slice.end_ms), |end| limit.is_none_or(|limit| end < limit));
                prop_assert_eq!(next, limit);
            }
        }
    }
}
