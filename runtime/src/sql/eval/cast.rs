//! CAST and `TRY_CAST` for every pair of types that Flink converts.
//!
//! Place in the flow: the evaluator calls [`cast`] with a column or scalar. Invariant: integers narrow by wrapping, numbers
//! that do not fit a decimal become NULL, text that cannot be read fails (CAST) or becomes NULL (`TRY_CAST`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
    ListArray, MapArray, PrimitiveArray, StringArray, StringBuilder, StructArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType,
};

use super::datetime::Moment;
use super::variant::from_variant;
use super::zone::Zone;
use super::{datetime, decimal};
use crate::error::{Error, Kind, Result};
use crate::sql::text;
use crate::sql::typing::{PrecisionScale, length_of, same_values};
use crate::types::{FlinkType, TypeKind};

/// A conversion and its surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast<'a> {
    /// Type of the input.
    pub(crate) from: &'a FlinkType,
    /// Type of the result.
    pub(crate) to: &'a FlinkType,
    /// Failures become NULL.
    pub(crate) lenient: bool,
    /// Session time zone.
    pub(crate) zone: &'a Zone,
}

impl Cast<'_> {
    /// The same conversion for parts of nested values.
    fn part<'b>(&'b self, from: &'b FlinkType, to: &'b FlinkType) -> Cast<'b> {
        Cast { from, to, ..*self }
    }

    /// What a failed conversion of a text gives.
    pub(super) fn failed<T>(&self, text: &str) -> Result<Option<T>> {
        if self.lenient {
            return Ok(None);
        }
        let shown: String = text.chars().take(MAX_SHOWN).collect();
        Err(Error::arithmetic(format!(
            "cannot cast \"{shown}\" to {}",
            self.to.kind
        )))
    }
}

/// Characters of a value that an error message shows.
///
/// # Source
/// Guess, unmeasured: enough to recognise the value.
const MAX_SHOWN: usize = 80;

/// Whether the conversion may fail on some value.
pub(crate) fn can_fail(from: &TypeKind, to: &TypeKind) -> bool {
    match (from, to) {
        (TypeKind::Array(x), TypeKind::Array(y))
        | (TypeKind::Multiset(x), TypeKind::Multiset(y)) => can_fail(&x.kind, &y.kind),
        (TypeKind::Map(k, v), TypeKind::Map(l, w)) => {
            can_fail(&k.kind, &l.kind) || can_fail(&v.kind, &w.kind)
        }
        (TypeKind::Row(xs), TypeKind::Row(ys)) => {
            let mut pairs = xs.iter().zip(ys);
            pairs.any(|(x, y)| can_fail(&x.ty.kind, &y.ty.kind))
        }
        (TypeKind::Variant, to) => *to != TypeKind::Variant,
        (from, to) => from.is_character() && !to.is_character() && !to.is_binary(),
    }
}

/// Converts an array.
///
/// # Errors
/// `Data` for a text that cannot be read, unless the cast is lenient; `Internal` for a pair that typing refuses.
pub(crate) fn cast(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    let (from, to) = (&cast.from.kind, &cast.to.kind);
    if same_values(from, to) {
        return Ok(Arc::clone(array));
    }
    if *from == TypeKind::Null {
        return Ok(new_null_array(&cast.to.to_arrow()?, array.len()));
    }
    if *from == TypeKind::Variant {
        return from_variant(input(array)?, cast);
    }
    match to {
        TypeKind::Char(_) | TypeKind::VarChar(_) => to_text(array, cast),
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => to_bytes(array, cast),
        TypeKind::Boolean => to_boolean(array, cast),
        kind if kind.is_numeric() => to_number(array, cast),
        TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
            to_time(array, cast)
        }
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
            if cast.lenient {
                try_nested(array, cast)
            } else {
                to_nested(array, cast)
            }
        }
        _ => Err(unknown_pair(cast)),
    }
}

/// A pair that typing does not let through.
fn unknown_pair(cast: &Cast<'_>) -> Error {
    Error::internal(format!("no cast from {} to {}", cast.from, cast.to))
}

/// The input as an array type.
fn input<A: 'static>(array: &ArrayRef) -> Result<&A> {
    array
        .as_any()
        .downcast_ref::<A>()
        .ok_or_else(|| Error::internal("a cast got an array of another type"))
}

/// To CHAR or VARCHAR: cut to the length, CHAR padded with blanks.
fn to_text(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    let length = usize::try_from(length_of(&cast.to.kind)).unwrap_or(usize::MAX);
    let pad = matches!(cast.to.kind, TypeKind::Char(_));
    if cast.from.kind.is_character()
        && !pad
        && length_of(&cast.from.kind) <= length_of(&cast.to.kind)
    {
        return Ok(Arc::clone(array));
    }
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    for row in 0..array.len() {
        let Some(mut value) = text::text(array, row, cast.from, cast.zone)? else {
            builder.append_null();
            continue;
        };
        if value.len() > length
            && let Some((end, _)) = value.char_indices().nth(length)
        {
            value.truncate(end);
        }
        if pad {
            let missing = length.saturating_sub(value.chars().count());
            value.extend(std::iter::repeat_n(' ', missing));
        }
        builder.append_value(value);
    }
    Ok(Arc::new(builder.finish()))
}

/// To BINARY or VARBINARY: UTF-8, cut to the length, BINARY padded with zeros.
fn to_bytes(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    let length = usize::try_from(length_of(&cast.to.kind)).unwrap_or(usize::MAX);
    let pad = matches!(cast.to.kind, TypeKind::Binary(_));
    let fit = |bytes: &[u8]| {
        let mut bytes = bytes[..bytes.len().min(length)].to_vec();
        if pad {
            bytes.resize(length, 0);
        }
        bytes
    };
    let converted: BinaryArray = if cast.from.kind.is_character() {
        let texts = input::<StringArray>(array)?;
        texts.iter().map(|v| v.map(|v| fit(v.as_bytes()))).collect()
    } else {
        let bytes = input::<BinaryArray>(array)?;
        bytes.iter().map(|v| v.map(fit)).collect()
    };
    Ok(Arc::new(converted))
}

/// To BOOLEAN.
fn to_boolean(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    if cast.from.kind.is_character() {
        let texts = input::<StringArray>(array)?;
        let read = |text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => match text.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "y" | "yes" | "1" => Ok(Some(true)),
                "f" | "false" | "n" | "no" | "0" => Ok(Some(false)),
                _ => cast.failed(text),
            },
        };
        return Ok(Arc::new(
            texts.iter().map(read).collect::<Result<BooleanArray>>()?,
        ));
    }
    let numbers = wide_integers(array, cast)?;
    let values: BooleanArray = numbers.map(|v| v.map(|v| v != 0)).collect();
    Ok(Arc::new(values))
}

/// Integers and BOOLEAN widened to BIGINT.
fn wide_integers<'a>(
    array: &'a ArrayRef,
    cast: &Cast<'_>,
) -> Result<Box<dyn Iterator<Item = Option<i64>> + 'a>> {
    /// Iterates over a primitive array.
    fn widened<'a, T: ArrowPrimitiveType>(
        array: &'a ArrayRef,
    ) -> Result<Box<dyn Iterator<Item = Option<i64>> + 'a>>
    where
        T::Native: Into<i64>,
    {
        let values = input::<PrimitiveArray<T>>(array)?;
        Ok(Box::new(values.iter().map(|value| value.map(Into::into))))
    }
    match array.data_type() {
        DataType::Boolean => Ok(Box::new(
            input::<BooleanArray>(array)?
                .iter()
                .map(|value| value.map(i64::from)),
        )),
        DataType::Int8 => widened::<Int8Type>(array),
        DataType::Int16 => widened::<Int16Type>(array),
        DataType::Int32 => widened::<Int32Type>(array),
        DataType::Int64 => widened::<Int64Type>(array),
        _ => Err(unknown_pair(cast)),
    }
}

/// A number as it comes out of any input type.
#[derive(Debug, Clone, Copy)]
enum Number {
    /// An integer or BOOLEAN.
    Integer(i64),
    /// FLOAT.
    Single(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL with its scale.
    Decimal(i128, u8),
}

impl Number {
    /// As BIGINT the way Java converts: floating point saturates, decimals wrap.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Java's narrowing is wanted"
    )]
    fn long(self) -> i64 {
        match self {
            Self::Integer(value) => value,
            Self::Single(value) => value as i64,
            Self::Double(value) => value as i64,
            Self::Decimal(value, scale) => (value / decimal::power_of_ten(scale)) as i64,
        }
    }

    /// As INT the way Java converts: floating point saturates, the rest wraps.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Java's narrowing is wanted"
    )]
    fn int(self) -> i32 {
        match self {
            Self::Single(value) => value as i32,
            Self::Double(value) => value as i32,
            Self::Integer(_) | Self::Decimal(..) => self.long() as i32,
        }
    }

    /// As DOUBLE.
    #[expect(clippy::cast_precision_loss, reason = "the nearest value is wanted")]
    fn double(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Single(value) => value.into(),
            Self::Double(value) => value,
            Self::Decimal(value, scale) => {
                decimal::to_text(value, scale).parse().unwrap_or(f64::NAN)
            }
        }
    }

    /// As FLOAT.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the nearest value is wanted"
    )]
    fn single(self) -> f32 {
        match self {
            Self::Integer(value) => value as f32,
            Self::Single(value) => value,
            Self::Double(_) | Self::Decimal(..) => self.double() as f32,
        }
    }

    /// As DECIMAL; NULL when it does not fit.
    fn decimal(self, to: PrecisionScale) -> Option<i128> {
        match self {
            Self::Integer(value) => decimal::rescale(value.into(), 0, to),
            Self::Decimal(value, scale) => decimal::rescale(value, scale, to),
            Self::Single(_) | Self::Double(_) => {
                decimal::parse(&format!("{:e}", self.double()), to)
                    .ok()
                    .flatten()
            }
        }
    }
}

/// Reads the rows of a number or BOOLEAN array.
fn numbers<'a>(
    array: &'a ArrayRef,
    cast: &Cast<'_>,
) -> Result<Box<dyn Iterator<Item = Option<Number>> + 'a>> {
    Ok(match array.data_type() {
        DataType::Float32 => Box::new(
            input::<PrimitiveArray<Float32Type>>(array)?
                .iter()
                .map(|value| value.map(Number::Single)),
        ),
        DataType::Float64 => Box::new(
            input::<PrimitiveArray<Float64Type>>(array)?
                .iter()
                .map(|value| value.map(Number::Double)),
        ),
        DataType::Decimal128(_, scale) => {
            let scale = scale.unsigned_abs();
            Box::new(
                input::<Decimal128Array>(array)?
                    .iter()
                    .map(move |value| value.map(|value| Number::Decimal(value, scale))),
            )
        }
        _ => Box::new(wide_integers(array, cast)?.map(|value| value.map(Number::Integer))),
    })
}

/// To a numeric type.
fn to_number(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    if cast.from.kind.is_character() {
        return text_to_number(input(array)?, cast);
    }
    /// Collects one primitive array.
    macro_rules! collect {
        ($ty:ty, $convert:expr) => {{
            let values: PrimitiveArray<$ty> =
                numbers(array, cast)?.map(|v| v.map($convert)).collect();
            Arc::new(values) as ArrayRef
        }};
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Java's narrowing is wanted"
    )]
    Ok(match &cast.to.kind {
        TypeKind::TinyInt => collect!(Int8Type, |v: Number| v.int() as i8),
        TypeKind::SmallInt => collect!(Int16Type, |v: Number| v.int() as i16),
        TypeKind::Int => collect!(Int32Type, Number::int),
        TypeKind::BigInt => collect!(Int64Type, Number::long),
        TypeKind::Float => collect!(Float32Type, Number::single),
        TypeKind::Double => collect!(Float64Type, Number::double),
        TypeKind::Decimal { precision, scale } => {
            let to = (*precision, *scale);
            let values: PrimitiveArray<Decimal128Type> = numbers(array, cast)?
                .map(|value| value.and_then(|value| value.decimal(to)))
                .collect();
            Arc::new(values.with_precision_and_scale(to.0, to.1.cast_signed())?)
        }
        _ => return Err(unknown_pair(cast)),
    })
}

/// Reads text row by row; `read` returns `None` for what is no value.
fn read_texts<T: ArrowPrimitiveType>(
    texts: &StringArray,
    cast: &Cast<'_>,
    read: impl Fn(&str) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>> {
    texts
        .iter()
        .map(|text| match text {
            None => Ok(None),
            Some(text) => match read(text) {
                Some(value) => Ok(Some(value)),
                None => cast.failed(text),
            },
        })
        .collect()
}

/// Text to a numeric type.
fn text_to_number(texts: &StringArray, cast: &Cast<'_>) -> Result<ArrayRef> {
    Ok(match &cast.to.kind {
        TypeKind::TinyInt => Arc::new(read_texts::<Int8Type>(texts, cast, |text| {
            integer(text)?.try_into().ok()
        })?),
        TypeKind::SmallInt => Arc::new(read_texts::<Int16Type>(texts, cast, |text| {
            integer(text)?.try_into().ok()
        })?),
        TypeKind::Int => Arc::new(read_texts::<Int32Type>(texts, cast, |text| {
            integer(text)?.try_into().ok()
        })?),
        TypeKind::BigInt => Arc::new(read_texts::<Int64Type>(texts, cast, integer)?),
        TypeKind::Float => Arc::new(read_texts::<Float32Type>(texts, cast, |text| {
            floating(text)?.parse().ok()
        })?),
        TypeKind::Double => Arc::new(read_texts::<Float64Type>(texts, cast, |text| {
            floating(text)?.parse().ok()
        })?),
        TypeKind::Decimal { precision, scale } => {
            let to = (*precision, *scale);
            let values = read_texts::<Decimal128Type>(texts, cast, |text| {
                decimal::parse(text.trim(), to).ok().flatten()
            })?;
            Arc::new(values.with_precision_and_scale(to.0, to.1.cast_signed())?)
        }
        _ => return Err(unknown_pair(cast)),
    })
}

/// A whole number as text, blanks around it and a fraction allowed; the fraction is cut.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "" | "+" | "-" => text
            .contains('.')
            .then_some(0)
            .filter(|_| !fraction.is_empty()),
        whole => whole.parse().ok(),
    }
}

/// A floating-point number as Java reads it, in the spelling that Rust reads.
fn floating(text: &str) -> Option<&str> {
    let text = text.trim();
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if body == "NaN" || body == "Infinity" {
        return Some(text);
    }
    if body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        Some(text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text))
    } else {
        None
    }
}

/// To DATE, TIME, TIMESTAMP or `TIMESTAMP_LTZ`.
fn to_time(array: &ArrayRef, cast: &Cast<'_>) -> Result<ArrayRef> {
    if cast.from.kind.is_character() {
        return text_to_time(input(array)?, cast);
    }
    let moments: Vec<Option<Moment>> = (0..array.len())
        .map(|row| local_moment(array, row, cast))
        .collect::<Result<_>>()?;
    Ok(match &cast.to.kind {
        TypeKind::Date => {
            let days = moments
                .into_iter()
                .map(|v| {
                    v.map(|v| datetime::in_range(v.micros.div_euclid(datetime::DAY_US)))
                        .transpose()
                })
                .collect::<Result<Vec<_>>>()?;
            datetime::dates(days.into_iter())
        }
        TypeKind::Time(precision) => {
            let times = moments
                .into_iter()
                .map(|v| v.map(|v| stored_time(v, *precision)).transpose())
                .collect::<Result<Vec<_>>>()?;
            datetime::times(times.into_iter())
        }
        TypeKind::Timestamp(precision) => datetime::timestamps(moments.into_iter(), *precision),
        TypeKind::TimestampLtz(precision) => {
            let is_instant = matches!(cast.from.kind, TypeKind::TimestampLtz(_));
            let instants = moments.into_iter().map(|v| {
                v.map(|v| {
                    if is_instant {
                        v
                    } else {
                        datetime::to_instant(v, cast.zone)
                    }
                })
            });
            datetime::timestamps(instants, *precision)
        }
        _ => return Err(unknown_pair(cast)),
    })
}

/// The time of day of a local time, cut to the precision.
fn stored_time(local: Moment, precision: u8) -> Result<i32> {
    let cut = 10_i64.pow(u32::from(3 - precision.min(3)));
    let millis = local.micros.rem_euclid(datetime::DAY_US) / datetime::MICROS;
    datetime::in_range(millis - millis % cut)
}

/// A time as a local one; an instant stays one when the target is `TIMESTAMP_LTZ`.
fn local_moment(array: &ArrayRef, row: usize, cast: &Cast<'_>) -> Result<Option<Moment>> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match &cast.from.kind {
        TypeKind::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            Moment::from(i64::from(days) * datetime::DAY_US)
        }
        TypeKind::Time(_) => {
            let millis = array.as_primitive::<Time32MillisecondType>().value(row);
            Moment::from(i64::from(millis) * datetime::MICROS)
        }
        TypeKind::Timestamp(_) => datetime::moment_at(array.as_ref(), row)?.unwrap_or_default(),
        TypeKind::TimestampLtz(_) => {
            let instant = datetime::moment_at(array.as_ref(), row)?.unwrap_or_default();
            if matches!(cast.to.kind, TypeKind::TimestampLtz(_)) {
                instant
            } else {
                datetime::to_local(instant, cast.zone)
            }
        }
        _ => return Err(unknown_pair(cast)),
    }))
}

/// Text to a time.
fn text_to_time(texts: &StringArray, cast: &Cast<'_>) -> Result<ArrayRef> {
    let timestamps = || -> Result<Vec<Option<Moment>>> {
        texts
            .iter()
            .map(|text| match text {
                None => Ok(None),
                Some(text) => match datetime::parse_timestamp(text) {
                    Some(value) => Ok(Some(value)),
                    None => cast.failed(text),
                },
            })
            .collect()
    };
    Ok(match &cast.to.kind {
        TypeKind::Date => Arc::new(read_texts::<Date32Type>(texts, cast, |text| {
            datetime::parse_date(text)?.try_into().ok()
        })?),
        TypeKind::Time(precision) => {
            Arc::new(read_texts::<Time32MillisecondType>(texts, cast, |text| {
                stored_time(datetime::parse_time(text)?, *precision).ok()
            })?)
        }
        TypeKind::Timestamp(precision) => {
            datetime::timestamps(timestamps()?.into_iter(), *precision)
        }
        TypeKind::TimestampLtz(precision) => {
            let instants = timestamps()?.into_iter();
            let instants = instants.map(|v| v.map(|v| datetime::to_instant(v, cast.zone)));
            datetime::timestamps(instants, *precision)
        }
        _ => return Err(unknown_pair(cast)),
    })
}

/// `TRY_CAST` of nested values: a failure anywhere in a value makes the whole value NULL.
fn try_nested(array: &ArrayRef, how: &Cast<'_>) -> Result<ArrayRef> {
    let strict = Cast {
        lenient: false,
        ..*how
    };
    match to_nested(array, &strict) {
        Err(error) if error.kind == Kind::Data => {}
        outcome => return outcome,
    }
    let target = how.to.to_arrow()?;
    let rows = (0..array.len()).map(|row| match to_nested(&array.slice(row, 1), &strict) {
        Err(error) if error.kind == Kind::Data => Ok(new_null_array(&target, 1)),
        outcome => outcome,
    });
    let rows = rows.collect::<Result<Vec<ArrayRef>>>()?;
    let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
    Ok(concat(&rows)?)
}

/// Element by element.
fn to_nested(array: &ArrayRef, how: &Cast<'_>) -> Result<ArrayRef> {
    let target = how.to.to_arrow()?;
    match (&how.from.kind, &how.to.kind, &target) {
        (TypeKind::Array(x), TypeKind::Array(y), DataType::List(field)) => {
            let list = input::<ListArray>(array)?;
            let values = cast(list.values(), &how.part(x, y))?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (TypeKind::Row(xs), TypeKind::Row(ys), DataType::Struct(fields)) => {
            let row = input::<StructArray>(array)?;
            let columns = xs.iter().zip(ys).zip(row.columns());
            let columns = columns
                .map(|((x, y), column)| cast(column, &how.part(&x.ty, &y.ty)))
                .collect::<Result<_>>()?;
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                row.nulls().cloned(),
            )?))
        }
        (_, _, DataType::Map(field, sorted)) => {
            let map = input::<MapArray>(array)?;
            let one = TypeKind::Int.not_null();
            let ((k, v), (l, w)) = match (&how.from.kind, &how.to.kind) {
                (TypeKind::Map(k, v), TypeKind::Map(l, w)) => ((&**k, &**v), (&**l, &**w)),
                (TypeKind::Multiset(k), TypeKind::Multiset(l)) => ((&**k, &one), (&**l, &one)),
                _ => return Err(unknown_pair(how)),
            };
            let keys = cast(map.keys(), &how.part(k, l))?;
            let values = cast(map.values(), &how.part(v, w))?;
            let DataType::Struct(fields) = field.data_type() else {
                return Err(unknown_pair(how));
            };
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)
                .map_err(|_| Error::arithmetic("a key of a map became NULL in a cast"))?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(field),
                map.offsets().clone(),
                entries,
                map.nulls().cloned(),
                *sorted,
            )?))
        }
        _ => Err(unknown_pair(how)),
    }
}
