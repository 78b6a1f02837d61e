//! Column builders that can take a record back.
//!
//! Place in the flow: decoders append values here, one record at a time, and take Arrow arrays out per batch. Invariant: after
//! [`Column::truncate`] a column is as if the dropped values had never been appended.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, ListArray,
    MapArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::format::{FailureCode, FormatField};
use crate::types::{FlinkType, NANOSECONDS, TypeKind};

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Machine-readable reason.
    pub(crate) code: FailureCode,
    /// Dotted path of the field, empty at the root.
    pub(crate) path: String,
    /// What is wrong, without the place.
    pub(crate) message: String,
}

impl Fault {
    /// A value of the wrong type or range.
    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self::new(FailureCode::TypeMismatch, message)
    }

    /// A fault of any kind.
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            path: String::new(),
            message: message.into(),
        }
    }

    /// The same fault, seen from the field that holds it.
    #[must_use]
    pub(crate) fn within(mut self, field: &str) -> Self {
        let path = std::mem::take(&mut self.path);
        self.path = match path.as_str() {
            "" => field.to_owned(),
            inner if inner.starts_with('[') => format!("{field}{inner}"),
            inner => format!("{field}.{inner}"),
        };
        self
    }

    /// The message with its place.
    pub(crate) fn text(self) -> String {
        if self.path.is_empty() {
            self.message
        } else {
            format!("field \"{}\": {}", self.path, self.message)
        }
    }
}

/// The names of the fields of a record or ROW, and where each was found in the object at hand.
#[derive(Debug)]
pub(crate) struct Names {
    /// Names in column order.
    pub(crate) list: Vec<String>,
    /// Position by name.
    index: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    /// Scratch: the place of each field's value in the object at hand.
    pub(crate) places: Vec<Option<usize>>,
}

impl Names {
    /// Names in column order; of equal names the first counts.
    pub(crate) fn new(names: impl Iterator<Item = String>) -> Self {
        let list: Vec<String> = names.collect();
        let mut index = HashMap::default();
        for (position, name) in list.iter().enumerate() {
            index
                .entry(name.as_bytes().to_vec().into_boxed_slice())
                .or_insert(position);
        }
        let places = vec![None; list.len()];
        Self {
            list,
            index,
            places,
        }
    }

    /// The position of a name; `guess` is tried first.
    pub(crate) fn position(&self, name: &[u8], guess: usize) -> Option<usize> {
        if self
            .list
            .get(guess)
            .is_some_and(|guessed| guessed.as_bytes() == name)
        {
            return Some(guess);
        }
        self.index.get(name).copied()
    }
}

/// Values of one type. The kind has a byte of its own: found in a niche, it takes a tenth longer to look up for each value.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Data {
    /// BOOLEAN.
    Boolean(BooleanBufferBuilder),
    /// TINYINT.
    Int8(Vec<i8>),
    /// SMALLINT.
    Int16(Vec<i16>),
    /// INT and INTERVAL YEAR TO MONTH.
    Int32(Vec<i32>),
    /// BIGINT and INTERVAL DAY TO SECOND.
    Int64(Vec<i64>),
    /// FLOAT.
    Float32(Vec<f32>),
    /// DOUBLE.
    Float64(Vec<f64>),
    /// DECIMAL, unscaled.
    Decimal {
        /// Unscaled values.
        values: Vec<i128>,
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// DATE, days.
    Date(Vec<i32>),
    /// TIME, milliseconds of the day.
    Time(Vec<i32>),
    /// TIMESTAMP and `TIMESTAMP_LTZ`.
    Timestamp {
        /// In the unit of storage.
        values: Vec<i64>,
        /// Whether the unit is microseconds rather than milliseconds.
        micros: bool,
        /// Whether values are instants.
        local: bool,
    },
    /// TIMESTAMP and `TIMESTAMP_LTZ` with more than six fractional digits.
    Nanos {
        /// Nanoseconds since the epoch.
        values: Vec<i128>,
        /// Whether values are instants.
        local: bool,
    },
    /// CHAR, VARCHAR, STRING.
    Utf8(Bytes),
    /// BINARY, VARBINARY, BYTES.
    Binary(Bytes),
    /// ARRAY.
    List {
        /// End of each list among the elements, after a leading 0.
        offsets: Vec<i32>,
        /// Elements of all lists.
        element: Box<Column>,
    },
    /// MAP and MULTISET.
    Map {
        /// End of each map among the entries, after a leading 0.
        offsets: Vec<i32>,
        /// Keys of all maps.
        key: Box<Column>,
        /// Values of all maps.
        value: Box<Column>,
    },
    /// ROW.
    Row {
        /// Field names.
        names: Names,
        /// Field values.
        children: Vec<Column>,
    },
}

/// Byte strings, one behind the other.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// End of each string, after a leading 0.
    offsets: Vec<i32>,
    /// The strings.
    pub(crate) bytes: Vec<u8>,
}

impl Bytes {
    /// No strings.
    fn new() -> Self {
        Self {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }

    /// Ends the string that was written to `bytes`.
    pub(crate) fn close(&mut self) {
        // A decoder refuses batches whose strings could pass the limit of 32-bit offsets before it appends anything.
        self.offsets
            .push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    /// Appends a whole string.
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.close();
    }

    /// Appends a part of some bytes.
    #[inline]
    pub(crate) fn push_part(&mut self, from: &[u8], part: Range<usize>) {
        /// Bytes that are copied at once: a call for few bytes costs more than their copy.
        const BLOCK: usize = 32;
        match from
            .get(part.start..)
            .and_then(<[u8]>::first_chunk::<BLOCK>)
        {
            Some(block) if part.len() <= BLOCK => {
                let end = self.bytes.len() + part.len();
                self.bytes.extend_from_slice(block);
                self.bytes.truncate(end);
            }
            Some(_) | None => self.bytes.extend_from_slice(&from[part]),
        }
        self.close();
    }

    /// Drops what follows the first `rows` strings, and an unfinished one.
    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes
            .truncate(usize::try_from(self.offsets[rows]).unwrap_or_default());
    }

    /// Takes the strings out.
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let next = Self {
            offsets: Vec::with_capacity(self.offsets.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        };
        let taken = std::mem::replace(self, next);
        self.offsets.push(0);
        (
            OffsetBuffer::new(ScalarBuffer::from(taken.offsets)),
            Buffer::from_vec(taken.bytes),
        )
    }
}

/// A column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    /// Whether NULL may be appended.
    pub(crate) nullable: bool,
    /// The values.
    pub(crate) data: Data,
    /// Values so far.
    length: usize,
    /// Which values are not NULL; absent while all are.
    validity: Option<BooleanBufferBuilder>,
    /// Arrow type of the result.
    arrow: DataType,
}

impl Column {
    /// An empty column of a type.
    ///
    /// # Errors
    /// `Unsupported` for types without stored values.
    pub(crate) fn new(ty: &FlinkType) -> Result<Self> {
        let data = match &ty.kind {
            TypeKind::Null | TypeKind::Bitmap => {
                return Err(Error::unsupported(format!("a stored column of type {ty}")));
            }
            TypeKind::Boolean => Data::Boolean(BooleanBufferBuilder::new(0)),
            TypeKind::TinyInt => Data::Int8(Vec::new()),
            TypeKind::SmallInt => Data::Int16(Vec::new()),
            TypeKind::Int | TypeKind::IntervalYearMonth => Data::Int32(Vec::new()),
            TypeKind::BigInt | TypeKind::IntervalDayTime => Data::Int64(Vec::new()),
            TypeKind::Float => Data::Float32(Vec::new()),
            TypeKind::Double => Data::Float64(Vec::new()),
            TypeKind::Decimal { precision, scale } => Data::Decimal {
                values: Vec::new(),
                precision: *precision,
                scale: *scale,
            },
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::Variant => {
                Data::Utf8(Bytes::new())
            }
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => Data::Binary(Bytes::new()),
            TypeKind::Date => Data::Date(Vec::new()),
            TypeKind::Time(_) => Data::Time(Vec::new()),
            TypeKind::Timestamp(7..) | TypeKind::TimestampLtz(7..) => Data::Nanos {
                values: Vec::new(),
                local: matches!(ty.kind, TypeKind::TimestampLtz(_)),
            },
            TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => Data::Timestamp {
                values: Vec::new(),
                micros: *p > 3,
                local: matches!(ty.kind, TypeKind::TimestampLtz(_)),
            },
            TypeKind::Array(element) => Data::List {
                offsets: vec![0],
                element: Box::new(Self::new(element)?),
            },
            TypeKind::Map(key, value) => Data::Map {
                offsets: vec![0],
                key: Box::new(Self::new(&key.with_nullable(false))?),
                value: Box::new(Self::new(value)?),
            },
            TypeKind::Multiset(element) => Data::Map {
                offsets: vec![0],
                key: Box::new(Self::new(&element.with_nullable(false))?),
                value: Box::new(Self::new(&TypeKind::Int.not_null())?),
            },
            TypeKind::Row(fields) => Data::Row {
                names: Names::new(fields.iter().map(|field| field.name.clone())),
                children: fields
                    .iter()
                    .map(|field| Self::new(&field.ty))
                    .collect::<Result<_>>()?,
            },
        };
        Ok(Self {
            nullable: ty.nullable,
            data,
            length: 0,
            validity: None,
            arrow: ty.to_arrow()?,
        })
    }

    /// Columns of fields.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub(crate) fn of_fields(fields: &[FormatField]) -> Result<Vec<Self>> {
        fields
            .iter()
            .map(|field| {
                Self::new(&field.ty)
                    .map_err(|error| error.context(&format!("field {}", field.name)))
            })
            .collect()
    }

    /// Values so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Notes that a value was pushed to `data`.
    #[inline]
    pub(crate) fn valid(&mut self) {
        self.length += 1;
        if let Some(validity) = &mut self.validity {
            validity.append(true);
        }
    }

    /// Appends NULL if the column takes it.
    pub(crate) fn append_null(&mut self) -> Result<(), Fault> {
        if !self.nullable {
            return Err(Fault::new(
                FailureCode::NullValue,
                "is null or missing, but the column is NOT NULL",
            ));
        }
        self.force_null();
        Ok(())
    }

    /// Appends NULL whatever the column says: the place of a field of a NULL row.
    pub(crate) fn force_null(&mut self) {
        self.push_zero();
        let length = self.length;
        let validity = self.validity.get_or_insert_with(|| {
            let mut validity = BooleanBufferBuilder::new(length + 1);
            validity.append_n(length, true);
            validity
        });
        validity.append(false);
        self.length += 1;
    }

    /// Appends zero, false or what is empty.
    pub(crate) fn append_zero(&mut self) {
        self.push_zero();
        self.valid();
    }

    /// Pushes a value to `data`: zero, false or what is empty.
    fn push_zero(&mut self) {
        match &mut self.data {
            Data::Boolean(values) => values.append(false),
            Data::Int8(values) => values.push(0),
            Data::Int16(values) => values.push(0),
            Data::Int32(values) | Data::Date(values) | Data::Time(values) => values.push(0),
            Data::Int64(values) | Data::Timestamp { values, .. } => values.push(0),
            Data::Float32(values) => values.push(0.0),
            Data::Float64(values) => values.push(0.0),
            Data::Decimal { values, .. } | Data::Nanos { values, .. } => values.push(0),
            Data::Utf8(values) | Data::Binary(values) => values.close(),
            Data::List { offsets, .. } | Data::Map { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default());
            }
            Data::Row { children, .. } => children.iter_mut().for_each(Self::force_null),
        }
    }

    /// Drops what follows the first `rows` values, finished or not.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.data {
            Data::Boolean(values) => values.truncate(rows),
            Data::Int8(values) => values.truncate(rows),
            Data::Int16(values) => values.truncate(rows),
            Data::Int32(values) | Data::Date(values) | Data::Time(values) => values.truncate(rows),
            Data::Int64(values) | Data::Timestamp { values, .. } => values.truncate(rows),
            Data::Float32(values) => values.truncate(rows),
            Data::Float64(values) => values.truncate(rows),
            Data::Decimal { values, .. } | Data::Nanos { values, .. } => values.truncate(rows),
            Data::Utf8(values) | Data::Binary(values) => values.truncate(rows),
            Data::List { offsets, element } => {
                offsets.truncate(rows + 1);
                element.truncate(offset(offsets[rows]));
            }
            Data::Map {
                offsets,
                key,
                value,
            } => {
                offsets.truncate(rows + 1);
                key.truncate(offset(offsets[rows]));
                value.truncate(offset(offsets[rows]));
            }
            Data::Row { children, .. } => {
                for child in children {
                    child.truncate(rows);
                }
            }
        }
        self.length = self.length.min(rows);
        if let Some(validity) = &mut self.validity {
            validity.truncate(rows);
        }
    }

    /// Takes the values out as an array, leaving the column empty.
    ///
    /// # Errors
    /// `Internal` when the parts do not fit one another, which is a bug of the decoder.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.len();
        self.length = 0;
        let validity = self.validity.take();
        let nulls = validity.map(|mut validity| NullBuffer::new(validity.finish()));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let array: ArrayRef = match &mut self.data {
            Data::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Data::Int8(values) => primitive::<Int8Type>(values, nulls)?,
            Data::Int16(values) => primitive::<Int16Type>(values, nulls)?,
            Data::Int32(values) => primitive::<Int32Type>(values, nulls)?,
            Data::Int64(values) => primitive::<Int64Type>(values, nulls)?,
            Data::Float32(values) => primitive::<Float32Type>(values, nulls)?,
            Data::Float64(values) => primitive::<Float64Type>(values, nulls)?,
            Data::Date(values) => primitive::<Date32Type>(values, nulls)?,
            Data::Time(values) => primitive::<Time32MillisecondType>(values, nulls)?,
            Data::Timestamp { values, micros, .. } => {
                if *micros {
                    primitive::<TimestampMicrosecondType>(values, nulls)?
                } else {
                    primitive::<TimestampMillisecondType>(values, nulls)?
                }
            }
            Data::Nanos { values, .. } => Arc::new(
                Decimal128Array::try_new(ScalarBuffer::from(renew(values)), nulls)?
                    .with_data_type(NANOSECONDS),
            ),
            Data::Decimal {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::try_new(ScalarBuffer::from(renew(values)), nulls)?
                    .with_precision_and_scale(*precision, scale.cast_signed())?,
            ),
            Data::Utf8(values) => {
                let (offsets, bytes) = values.take();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Data::Binary(values) => {
                let (offsets, bytes) = values.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Data::List { .. } | Data::Map { .. } | Data::Row { .. } => {
                self.finish_nested(rows, nulls)?
            }
        };
        Ok(array)
    }

    /// As [`Self::finish`], of an array, map or row.
    fn finish_nested(&mut self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        match (&mut self.data, &self.arrow) {
            (Data::List { offsets, element }, DataType::List(field)) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(renew_offsets(offsets)));
                let elements = element.finish()?;
                let list = ListArray::try_new(Arc::clone(field), offsets, elements, nulls)?;
                Ok(Arc::new(list))
            }
            (
                Data::Map {
                    offsets,
                    key,
                    value,
                },
                DataType::Map(field, sorted),
            ) => {
                let DataType::Struct(entry) = field.data_type() else {
                    return Err(Error::internal("a map has no entries"));
                };
                let columns = vec![key.finish()?, value.finish()?];
                let entries = StructArray::try_new(entry.clone(), columns, None)?;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(renew_offsets(offsets)));
                let map = MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *sorted)?;
                Ok(Arc::new(map))
            }
            (Data::Row { children, .. }, DataType::Struct(_)) if children.is_empty() => {
                Ok(Arc::new(StructArray::new_empty_fields(rows, nulls)))
            }
            (Data::Row { children, .. }, DataType::Struct(fields)) => {
                let columns = children
                    .iter_mut()
                    .map(Self::finish)
                    .collect::<Result<_>>()?;
                Ok(Arc::new(StructArray::try_new(
                    fields.clone(),
                    columns,
                    nulls,
                )?))
            }
            (_, other) => Err(Error::internal(format!("a nested column of type {other}"))),
        }
    }
}

/// An offset as an index.
fn offset(value: i32) -> usize {
    usize::try_from(value).unwrap_or_default()
}

/// The places of the elements of a row's array or map, by the offsets of an Arrow array.
pub(crate) fn elements(offsets: &[i32], row: usize) -> Range<usize> {
    offset(offsets[row])..offset(offsets[row + 1])
}

/// Takes the values, leaving room for as many again.
fn renew<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity))
}

/// Takes the offsets, leaving the leading 0.
fn renew_offsets(offsets: &mut Vec<i32>) -> Vec<i32> {
    let taken = renew(offsets);
    offsets.push(0);
    taken
}

/// An array of fixed-width values.
fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(
        ScalarBuffer::from(renew(values)),
        nulls,
    )?))
}
