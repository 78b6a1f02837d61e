//! Counts and sums of BIGINT, those of a group side by side.
//!
//! Place in the flow: [`super::Aggregates`] keeps here what it can when there are several such calls, so that the memory of a group is waited
//! for once. Invariant: results and stored forms are those of `COUNT` and `SUM` alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int64Type;

use crate::error::{Error, Result};
use crate::operator::aggregate::{Merged, Rows};
use crate::plan::{AggregateCall, AggregateFunction};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::{FlinkType, TypeKind};

/// Calls from which on they are packed: one alone gains nothing.
const CALLS_MIN: usize = 2;

/// Words of a group, at most: those of a cache line. Further calls are kept apart.
const WORDS_MAX: usize = 8;

/// What is kept of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A word: the count.
    Count,
    /// Two words: the sum, and how many values it is made of; without any it is NULL.
    Sum,
    /// The same; without any it is 0.
    Sum0,
}

impl Kind {
    /// The kind of a call; absent for those that are kept apart.
    fn of(call: &AggregateCall, input: &[FlinkType]) -> Option<Self> {
        let is_long = |column: usize| input[column].kind == TypeKind::BigInt;
        let is_plain = call.further.is_empty() && (!call.distinct || call.argument.is_none());
        let is_sum = call.argument.is_some_and(is_long) && call.ty.kind == TypeKind::BigInt;
        match call.function {
            AggregateFunction::Count if is_plain => Some(Self::Count),
            AggregateFunction::Sum if is_plain && is_sum => Some(Self::Sum),
            AggregateFunction::Sum0 if is_plain && is_sum => Some(Self::Sum0),
            _ => None,
        }
    }

    /// Words of a group.
    fn words(self) -> usize {
        match self {
            Self::Count => 1,
            Self::Sum | Self::Sum0 => 2,
        }
    }
}

/// What is kept of a call, and where in the words of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// What.
    kind: Kind,
    /// Its first word.
    first: usize,
}

/// Counts and sums by group.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Words of a group: a power of two, so that none lies in two cache lines.
    width: usize,
    /// The words of all groups.
    words: Vec<i64>,
}

impl Packed {
    /// Nothing yet, and for each call its field, if it has one.
    pub(super) fn new(calls: &[AggregateCall], input: &[FlinkType]) -> (Self, Vec<Option<Field>>) {
        let mut first = 0;
        let field = |call: &AggregateCall| {
            let kind = Kind::of(call, input).filter(|kind| first + kind.words() <= WORDS_MAX)?;
            let field = Field { kind, first };
            first += kind.words();
            Some(field)
        };
        let mut fields: Vec<Option<Field>> = calls.iter().map(field).collect();
        if fields.iter().flatten().count() < CALLS_MIN {
            fields.fill(None);
            return (Self::default(), fields);
        }
        let packed = Self {
            width: first.next_power_of_two(),
            words: Vec::new(),
        };
        (packed, fields)
    }

    /// Has as many groups as `len`; new ones are empty.
    pub(super) fn resize(&mut self, len: usize) {
        column::resize(&mut self.words, len * self.width, 0);
    }

    /// Forgets all groups and keeps their memory.
    pub(super) fn reset(&mut self) {
        self.words.clear();
    }

    /// Empties a group.
    pub(super) fn clear(&mut self, group: u32) {
        let start = group as usize * self.width;
        self.words[start..start + self.width].fill(0);
    }

    /// The words of a field.
    fn get<const WORDS: usize>(&self, field: Field, group: u32) -> [i64; WORDS] {
        let start = group as usize * self.width + field.first;
        let words = self.words[start..].first_chunk();
        words.copied().unwrap_or([0; WORDS])
    }

    /// Adds and takes away rows.
    ///
    /// # Errors
    /// `Internal` when the argument of a sum is of another type.
    pub(super) fn update(&mut self, field: Field, rows: Rows<'_>) -> Result<()> {
        let (width, words) = (self.width, &mut self.words);
        if field.kind == Kind::Count {
            rows.for_each(|_, group, is_retraction| {
                words[group * width + field.first] += if is_retraction { -1 } else { 1 };
            });
            return Ok(());
        }
        let argument = rows.argument;
        let values = argument.and_then(|argument| argument.as_primitive_opt::<Int64Type>());
        let values = values.ok_or_else(|| Error::internal("SUM got another type"))?;
        let values = values.values();
        rows.for_each(|row, group, is_retraction| {
            let start = group * width + field.first;
            if let Some([sum, count]) = words[start..].first_chunk_mut() {
                if is_retraction {
                    *sum = sum.wrapping_sub(values[row]);
                    *count -= 1;
                } else {
                    *sum = sum.wrapping_add(values[row]);
                    *count += 1;
                }
            }
        });
        Ok(())
    }

    /// Adds groups of others of the same calls.
    pub(super) fn merge(&mut self, other: &Self, groups: &[Merged]) {
        for Merged { into, from } in groups {
            let into = *into as usize * self.width;
            let from = *from as usize * self.width;
            let from = &other.words[from..from + self.width];
            for (into, from) in self.words[into..].iter_mut().zip(from) {
                *into = into.wrapping_add(*from);
            }
        }
    }

    /// The results of some groups.
    pub(super) fn evaluate(&self, field: Field, groups: &[u32]) -> ArrayRef {
        if field.kind == Kind::Count {
            let counts = groups.iter().map(|group| {
                let [count] = self.get(field, *group);
                count
            });
            return Arc::new(Int64Array::from_iter_values(counts));
        }
        let mut is_there = Vec::with_capacity(groups.len());
        let sums = groups.iter().map(|group| {
            let [sum, count] = self.get(field, *group);
            is_there.push(count != 0 || field.kind == Kind::Sum0);
            sum
        });
        let sums: Vec<i64> = sums.collect();
        let nulls =
            (!is_there.iter().all(|is_there| *is_there)).then(|| NullBuffer::from(is_there));
        Arc::new(Int64Array::new(sums.into(), nulls))
    }

    /// Appends a group's value to a snapshot.
    pub(super) fn write(&self, field: Field, group: u32, out: &mut Vec<u8>) {
        if field.kind == Kind::Count {
            let [count] = self.get(field, group);
            out.put_i64(count);
        } else {
            let [sum, count] = self.get(field, group);
            out.put_i64(count);
            out.put_i64(sum);
        }
    }

    /// Reads a group's value from a snapshot.
    ///
    /// # Errors
    /// `Corrupt` when the bytes end early.
    pub(super) fn read(&mut self, field: Field, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let start = group as usize * self.width + field.first;
        let first = input.i64()?;
        if field.kind == Kind::Count {
            self.words[start] = first;
        } else {
            self.words[start] = input.i64()?;
            self.words[start + 1] = first;
        }
        Ok(())
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::BooleanArray;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{Batch, RowKind};
    use crate::operator::aggregate::Aggregates;
    use crate::state::Values as _;

    /// Calls over a BIGINT and a BOOLEAN, which fill a cache line.
    fn calls() -> Vec<AggregateCall> {
        let call = |function, argument, filter| AggregateCall {
            function,
            argument,
            further: Vec::new(),
            filter,
            distinct: false,
            ty: TypeKind::BigInt.nullable(),
        };
        vec![
            call(AggregateFunction::Count, None, None),
            call(AggregateFunction::Sum, Some(0), None),
            call(AggregateFunction::Max, Some(0), None),
            call(AggregateFunction::Count, Some(0), Some(1)),
            call(AggregateFunction::Sum0, Some(0), Some(1)),
            call(AggregateFunction::Sum, Some(0), Some(1)),
        ]
    }

    /// Columns of BIGINT and BOOLEAN.
    fn input() -> [FlinkType; 2] {
        [TypeKind::BigInt.nullable(), TypeKind::Boolean.nullable()]
    }

    /// Rows: group, value, whether the filter takes it, whether it is taken away.
    type Changes = Vec<(u32, Option<i64>, bool, bool)>;

    /// Any changes of three groups.
    fn changes() -> impl Strategy<Value = Changes> {
        let value = prop::option::of(prop_oneof![-9..9_i64, Just(i64::MAX)]);
        prop::collection::vec((0..3_u32, value, any::<bool>(), any::<bool>()), 0..40)
    }

    /// Adds changes to accumulators of three groups.
    fn apply(aggregates: &mut Aggregates, changes: &Changes) {
        let longs = changes.iter().map(|row| row.1).collect::<Int64Array>();
        let filter = changes.iter().map(|row| Some(row.2));
        let kind = |row: &(_, _, _, bool)| {
            if row.3 {
                RowKind::Delete
            } else {
                RowKind::Insert
            }
        };
        let batch = Batch {
            columns: vec![Arc::new(longs), Arc::new(filter.collect::<BooleanArray>())],
            rows: changes.len(),
            kinds: Some(changes.iter().map(kind).collect()),
        };
        let groups: Vec<u32> = changes.iter().map(|row| row.0).collect();
        aggregates.update(&batch, &groups).unwrap();
    }

    /// Accumulators of three groups.
    fn empty(calls: &[AggregateCall]) -> Aggregates {
        let mut aggregates = Aggregates::new(calls, &input(), true).unwrap();
        aggregates.resize(3);
        aggregates
    }

    /// All groups as a snapshot gives them back.
    fn restored(aggregates: &Aggregates, calls: &[AggregateCall]) -> Aggregates {
        let mut restored = empty(calls);
        for group in 0..3 {
            let mut stored = Vec::new();
            aggregates.write(group, &mut stored);
            let mut input = Reader::new(&stored);
            restored.read(group, &mut input).unwrap();
            assert!(input.is_empty());
        }
        restored
    }

    #[test]
    fn what_fits_is_packed() {
        let (packed, fields) = Packed::new(&calls(), &input());
        let is_packed = fields.iter().map(Option::is_some);
        let expected = [true, true, false, true, true, true];
        assert!(is_packed.eq(expected));
        assert_eq!(packed.width, WORDS_MAX);
        let (_, fields) = Packed::new(&calls()[1..3], &input());
        assert!(fields.iter().all(Option::is_none), "one call is none");
    }

    proptest! {
        /// Each of the calls gives what it gives alone, also after a snapshot, merged with others, and when its memory is used again.
        #[test]
        fn side_by_side_or_alone(first in changes(), more in changes(), cleared in 0..3_u32) {
            let packed: Vec<AggregateCall> = calls().into_iter().filter(|call| call.function != AggregateFunction::Max).collect();
            let mut used = empty(&packed);
            apply(&mut used, &more);
            prop_assert!(used.reset());
            used.resize(3);
            apply(&mut used, &first);
            let mut together = empty(&packed);
            apply(&mut together, &first);
            prop_assert_eq!(used.evaluate(&[0, 1, 2]).unwrap(), together.evaluate(&[0, 1, 2]).unwrap());
            let mut together = empty(&calls());
            apply(&mut together, &first);
            let mut other = empty(&calls());
            apply(&mut other, &more);
            together.clear(cleared);
            let mut together = restored(&together, &calls());
            let groups = [Merged { into: 0, from: 2 }, Merged { into: 2, from: 1 }];
            together.merge(&other, &groups).unwrap();
            let found = together.evaluate(&[2, 0, 1]).unwrap();
            for (call, found) in calls().into_iter().zip(found) {
                let alone = [call];
                let mut expected = empty(&alone);
                apply(&mut expected, &first);
                expected.clear(cleared);
                let mut other = empty(&alone);
                apply(&mut other, &more);
                expected.merge(&other, &groups).unwrap();
                let expected = expected.evaluate(&[2, 0, 1]).unwrap().remove(0);
                prop_assert_eq!(&expected, &found);
            }
        }
    }
}
