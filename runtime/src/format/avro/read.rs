//! Records along a plan into columns.
//!
//! Place in the flow: the decoders call it for every record. Invariant: it never reads behind the record, builds no more elements than
//! the record has bytes (and a few), and what it appended before a fault is for the caller to take back.
//!
//! # Source
//! Apache Avro 1.12 specification, "Binary Encoding".

use std::ops::Range;

use crate::format::FailureCode;
use crate::format::avro::plan::{Missing, Number, Plan, Read, Record, Skip, Step, Unit};
use crate::format::column::{Column, Data, Fault};
use crate::format::decimal;
use crate::format::rows::varint;
use crate::format::rows::{end_of, last_ones, out_of_range, push};
use crate::format::text;

/// Elements of arrays and maps that a record may have beyond one for each of its bytes: those of types that take no bytes, which
/// nobody has in numbers. Guess, unmeasured.
const EMPTY_ELEMENTS_MAX: usize = 1024;

/// How deep a type that holds itself is skipped; other types are as deep as their schema, far less. Guess, unmeasured: a level takes
/// a few hundred bytes of stack.
const DEPTH_MAX: usize = 1024;

/// Appends a record to the columns; the bytes that it took.
///
/// # Errors
/// A fault with its place; what was appended stays, for the caller to take back.
pub(super) fn append(plan: &Plan, columns: &mut [Column], bytes: &[u8]) -> Result<usize, Fault> {
    let mut input = Input {
        bytes,
        at: 0,
        elements_left: bytes.len().saturating_add(EMPTY_ELEMENTS_MAX),
        named: &plan.named,
    };
    append_record(&plan.root, columns, &mut input)?;
    Ok(input.at)
}

/// A damaged record.
fn malformed(what: &str) -> Fault {
    Fault::new(FailureCode::Malformed, format!("not Avro: {what}"))
}

/// The record at hand.
struct Input<'a> {
    /// Its bytes.
    bytes: &'a [u8],
    /// Those that were read.
    at: usize,
    /// Elements of arrays and maps that may still come.
    elements_left: usize,
    /// Named types of the plan.
    named: &'a [Skip],
}

impl<'a> Input<'a> {
    /// The next bytes.
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..count)
            .ok_or_else(|| malformed(&format!("the record ends at byte {}", self.bytes.len())))?;
        self.at += count;
        Ok(taken)
    }

    /// So many bytes as an array.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// `int`, `long` or a count: seven bits a byte, the lowest first, the sign in the lowest bit.
    #[inline]
    fn long(&mut self) -> Result<i64, Fault> {
        if let Some(byte) = self.bytes.get(self.at).copied()
            && byte < 0x80
        {
            self.at += 1;
            return Ok(unfold(byte.into()));
        }
        self.long_of_many()
    }

    /// As [`Self::long`], of more than one byte.
    fn long_of_many(&mut self) -> Result<i64, Fault> {
        let value = varint(|| self.array().map(|[byte]| byte))?;
        value.map(unfold).ok_or_else(|| {
            malformed(&format!(
                "a number of more than 64 bits before byte {}",
                self.at
            ))
        })
    }

    /// A count that is the place of a branch or a symbol.
    fn place(&mut self) -> Result<usize, Fault> {
        let place = self.long()?;
        usize::try_from(place)
            .map_err(|_| malformed(&format!("there is no branch or symbol {place}")))
    }

    /// `string` or `bytes`.
    fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        let length = usize::try_from(length)
            .map_err(|_| malformed(&format!("a length of {length} before byte {}", self.at)))?;
        self.take(length)
    }

    /// How many elements the next block has; none behind the last.
    fn block(&mut self) -> Result<usize, Fault> {
        let mut count = self.long()?;
        if count < 0 {
            // The bytes of the block follow, for readers that skip it.
            self.long()?;
            count = count.checked_neg().unwrap_or(i64::MAX);
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.elements_left = self
            .elements_left
            .checked_sub(count)
            .ok_or_else(|| malformed(&format!("{count} elements in {} bytes", self.bytes.len())))?;
        Ok(count)
    }

    /// Passes a value over.
    fn skip(&mut self, skip: &Skip, depth: usize) -> Result<(), Fault> {
        let depth = depth + 1;
        if depth > DEPTH_MAX {
            return Err(malformed(&format!("more than {DEPTH_MAX} levels")));
        }
        match skip {
            Skip::Bytes(count) => {
                self.take(*count)?;
            }
            Skip::Integer => {
                self.long()?;
            }
            Skip::Counted => {
                self.counted()?;
            }
            Skip::Blocks(element) => loop {
                let count = self.block()?;
                if count == 0 {
                    break;
                }
                for _ in 0..count {
                    self.skip(element, depth)?;
                }
            },
            Skip::Union(branches) => {
                let place = self.place()?;
                self.skip(branch_of(branches, place)?, depth)?;
            }
            Skip::Sequence(fields) => {
                for field in fields {
                    self.skip(field, depth)?;
                }
            }
            Skip::Named(place) => {
                let named = self.named;
                self.skip(branch_of(named, *place)?, depth)?;
            }
        }
        Ok(())
    }
}

/// A number whose sign is in the lowest bit.
fn unfold(value: u64) -> i64 {
    let magnitude = (value >> 1).cast_signed();
    if value & 1 == 0 {
        magnitude
    } else {
        !magnitude
    }
}

/// A branch of a union.
fn branch_of<T>(branches: &[T], place: usize) -> Result<&T, Fault> {
    branches
        .get(place)
        .ok_or_else(|| malformed(&format!("branch {place} of a union of {}", branches.len())))
}

/// Appends a record to the columns of its fields.
fn append_record(
    record: &Record,
    columns: &mut [Column],
    input: &mut Input<'_>,
) -> Result<(), Fault> {
    for step in &record.steps {
        append_step(step, columns, input)?;
    }
    append_missing(&record.missing, columns)
}

/// Appends a field to its column.
fn append_step(step: &Step, columns: &mut [Column], input: &mut Input<'_>) -> Result<(), Fault> {
    match step {
        Step::Read { column, name, read } => {
            append_value(read, &mut columns[*column], input).map_err(|fault| fault.within(name))
        }
        Step::Branches(steps) => append_branch(steps, columns, input),
        Step::Skip(skip) => input.skip(skip, 0),
    }
}

/// Appends what columns get that no field belongs to.
fn append_missing(missing: &[Missing], columns: &mut [Column]) -> Result<(), Fault> {
    missing
        .iter()
        .try_for_each(|missing| append_default(missing, &mut columns[missing.column]))
}

/// Appends what a column gets that no field belongs to.
fn append_default(missing: &Missing, column: &mut Column) -> Result<(), Fault> {
    match &missing.default {
        Some((bytes, plan)) => append(plan, std::slice::from_mut(column), bytes).map(|_| ()),
        None => column
            .append_null()
            .map_err(|fault| fault.within(&missing.name)),
    }
}

/// Appends a value to a column.
fn append_value(read: &Read, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fault> {
    match read {
        Read::Null => return column.append_null(),
        Read::Union(branches) => {
            let place = input.place()?;
            return append_value(branch_of(branches, place)?, column, input);
        }
        Read::Refused(why) => return Err(Fault::mismatch(why.as_ref())),
        Read::Choice(steps) => append_choice(steps, column, input)?,
        Read::List(element) => append_list(element, column, input)?,
        Read::Map(entry) => append_map(entry, column, input)?,
        Read::Row(record) => match &mut column.data {
            Data::Row { children, .. } => append_record(record, children, input)?,
            _ => return Err(misplaced()),
        },
        Read::Boolean
        | Read::Integer
        | Read::Number(_)
        | Read::Time(_)
        | Read::Timestamp(_)
        | Read::Decimal { .. } => append_number(read, &mut column.data, input)?,
        Read::Text | Read::Uuid | Read::Enum(_) | Read::Binary | Read::Fixed(_) => {
            append_string(read, &mut column.data, input)?;
        }
    }
    column.valid();
    Ok(())
}

/// A plan that does not fit its column: a bug, reported as a damaged record rather than a panic.
fn misplaced() -> Fault {
    Fault::mismatch("a value that the column does not take")
}

/// Appends a boolean, number, date or time.
fn append_number(read: &Read, data: &mut Data, input: &mut Input<'_>) -> Result<(), Fault> {
    match (read, data) {
        (Read::Integer, Data::Int64(values)) => values.push(input.long()?),
        (Read::Integer, Data::Int32(values)) => values.push(integer(input, "an INT")?),
        (Read::Integer, Data::Int16(values)) => values.push(integer(input, "a SMALLINT")?),
        (Read::Integer, Data::Int8(values)) => values.push(integer(input, "a TINYINT")?),
        (Read::Integer, Data::Date(values)) => values.push(integer(input, "a DATE")?),
        (Read::Boolean, Data::Boolean(values)) => match input.array()? {
            [0] => values.append(false),
            [1] => values.append(true),
            [other] => return Err(malformed(&format!("a boolean of {other}"))),
        },
        (Read::Number(number), Data::Float32(values)) => values.push(float(*number, input)?),
        (Read::Number(number), Data::Float64(values)) => values.push(double(*number, input)?),
        (Read::Time(unit), Data::Time(values)) => {
            let value = input.long()?;
            let millis = if *unit == Unit::Micros {
                value.div_euclid(1000)
            } else {
                value
            };
            let millis = i32::try_from(millis)
                .ok()
                .filter(|millis| text::is_time_of_day(i64::from(*millis)));
            values.push(millis.ok_or_else(|| out_of_range(value, "a TIME"))?);
        }
        (Read::Timestamp(unit), Data::Timestamp { values, micros, .. }) => {
            let value = input.long()?;
            let converted = match (unit, *micros) {
                (Unit::Millis, false) | (Unit::Micros, true) => Some(value),
                (Unit::Millis, true) => value.checked_mul(1000),
                (Unit::Micros, false) | (Unit::Nanos, true) => Some(value.div_euclid(1000)),
                (Unit::Nanos, false) => Some(value.div_euclid(1_000_000)),
            };
            values.push(converted.ok_or_else(|| out_of_range(value, "a TIMESTAMP"))?);
        }
        (Read::Timestamp(unit), Data::Nanos { values, .. }) => {
            let nanos = match unit {
                Unit::Millis => 1_000_000,
                Unit::Micros => 1000,
                Unit::Nanos => 1,
            };
            values.push(i128::from(input.long()?) * nanos);
        }
        (
            Read::Decimal { size, scale },
            Data::Decimal {
                values,
                precision,
                scale: wanted,
            },
        ) => {
            let bytes = match size {
                Some(size) => input.take(*size)?,
                None => input.counted()?,
            };
            values.push(decimal_of(bytes, *scale, (*precision, *wanted))?);
        }
        _ => return Err(misplaced()),
    }
    Ok(())
}

/// The digits of a decimal with another precision and scale.
fn decimal_of(bytes: &[u8], scale: usize, (precision, wanted): (u8, u8)) -> Result<i128, Fault> {
    if bytes.is_empty() {
        return Err(malformed("a decimal of no bytes"));
    }
    let value = decimal::unscaled(bytes).and_then(|value| decimal::rescale(value, scale, wanted));
    decimal::fitting(value, (precision, wanted))
}

/// An integer of the width of its column.
fn integer<T: TryFrom<i64>>(input: &mut Input<'_>, what: &str) -> Result<T, Fault> {
    let value = input.long()?;
    T::try_from(value).map_err(|_| out_of_range(value, what))
}

/// A number as FLOAT.
fn float(number: Number, input: &mut Input<'_>) -> Result<f32, Fault> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "Avro promotes numbers so, by its specification"
    )]
    Ok(match number {
        Number::Integer => input.long()? as f32,
        Number::Float => f32::from_le_bytes(input.array()?),
        Number::Double => f64::from_le_bytes(input.array()?) as f32,
    })
}

/// A number as DOUBLE.
fn double(number: Number, input: &mut Input<'_>) -> Result<f64, Fault> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "Avro promotes numbers so, by its specification"
    )]
    Ok(match number {
        Number::Integer => input.long()? as f64,
        Number::Float => f32::from_le_bytes(input.array()?).into(),
        Number::Double => f64::from_le_bytes(input.array()?),
    })
}

/// Appends a character or byte string.
fn append_string(read: &Read, data: &mut Data, input: &mut Input<'_>) -> Result<(), Fault> {
    match (read, data) {
        (Read::Text, Data::Utf8(values)) => {
            let bytes = input.counted()?;
            if simdutf8::basic::from_utf8(bytes).is_err() {
                return Err(malformed("a string that is not UTF-8"));
            }
            push(values, bytes)
        }
        (Read::Uuid, Data::Utf8(values)) => {
            let uuid = uuid::Uuid::from_bytes(input.array()?);
            push(values, uuid.hyphenated().to_string().as_bytes())
        }
        (Read::Enum(symbols), Data::Utf8(values)) => {
            let place = input.place()?;
            let symbol = symbols.get(place).ok_or_else(|| {
                malformed(&format!("symbol {place} of an enum of {}", symbols.len()))
            })?;
            push(values, symbol.as_bytes())
        }
        (Read::Binary, Data::Binary(values)) => push(values, input.counted()?),
        (Read::Fixed(size), Data::Binary(values)) => push(values, input.take(*size)?),
        _ => Err(misplaced()),
    }
}

/// Appends an array, without the note that it is there.
fn append_list(read: &Read, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fault> {
    let Data::List { offsets, element } = &mut column.data else {
        return Err(misplaced());
    };
    let mut index = 0_usize;
    loop {
        let count = input.block()?;
        if count == 0 {
            break;
        }
        for _ in 0..count {
            append_value(read, element, input)
                .map_err(|fault| fault.within(&format!("[{index}]")))?;
            index += 1;
        }
    }
    offsets.push(end_of(element)?);
    Ok(())
}

/// Appends a map, without the note that it is there; of equal keys the last counts.
fn append_map(entry: &Record, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fault> {
    let Data::Map {
        offsets,
        key,
        value,
    } = &mut column.data
    else {
        return Err(misplaced());
    };
    let (start, elements_left, rows) = (input.at, input.elements_left, key.len());
    let mut keys = Vec::new();
    append_entries(entry, (key, value), input, |_, _, range| keys.push(range))?;
    let keys: Vec<&[u8]> = keys.into_iter().map(|range| &input.bytes[range]).collect();
    if let Some(is_last) = last_ones(&keys) {
        key.truncate(rows);
        value.truncate(rows);
        input.at = start;
        input.elements_left = elements_left;
        let mut kept = rows;
        let mut is_last = is_last.into_iter();
        append_entries(entry, (key, value), input, |key, value, _| {
            if is_last.next().unwrap_or(true) {
                kept += 1;
            } else {
                key.truncate(kept);
                value.truncate(kept);
            }
        })?;
    }
    offsets.push(end_of(key)?);
    Ok(())
}

/// Appends entries, and tells of each and of the bytes of its key.
fn append_entries(
    entry: &Record,
    (key, value): (&mut Column, &mut Column),
    input: &mut Input<'_>,
    mut each: impl FnMut(&mut Column, &mut Column, Range<usize>),
) -> Result<(), Fault> {
    loop {
        let count = input.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let mut range = input.at..input.at;
            for step in &entry.steps {
                let start = input.at;
                match step {
                    Step::Read {
                        column: 0, read, ..
                    } => {
                        append_value(read, key, input).map_err(|fault| fault.within("key"))?;
                        range = start..input.at;
                    }
                    Step::Read { read, .. } => {
                        append_value(read, value, input).map_err(|fault| fault.within("value"))?;
                    }
                    Step::Branches(_) => return Err(misplaced()),
                    Step::Skip(skip) => input.skip(skip, 0)?,
                }
            }
            for missing in &entry.missing {
                let column = if missing.column == 0 {
                    &mut *key
                } else {
                    &mut *value
                };
                append_default(missing, column)?;
            }
            each(key, value, range);
        }
    }
}

/// Appends a union to a row that has a field for each branch.
fn append_choice(steps: &[Step], column: &mut Column, input: &mut Input<'_>) -> Result<(), Fault> {
    let Data::Row { children, .. } = &mut column.data else {
        return Err(misplaced());
    };
    append_branch(steps, children, input)
}

/// Appends a union to the column of its branch, and NULL to all others.
fn append_branch(
    steps: &[Step],
    columns: &mut [Column],
    input: &mut Input<'_>,
) -> Result<(), Fault> {
    let place = input.place()?;
    let step = branch_of(steps, place)?;
    let taken = match step {
        Step::Read { column, .. } => Some(*column),
        Step::Branches(_) | Step::Skip(_) => None,
    };
    append_step(step, columns, input)?;
    for (place, column) in columns.iter_mut().enumerate() {
        if taken != Some(place) {
            column.append_null()?;
        }
    }
    Ok(())
}
