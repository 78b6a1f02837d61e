//! Columns being built from JSON values.
//!
//! Place in the flow: one per asked field of a decoder. Invariant: a column can be cut back to any earlier length, so that a record that
//! fails in its last field leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};
use base64::Engine;

use crate::error::{Error, Result};
use crate::format::FailureCode;
use crate::format::json::scanner::{Scanner, Token};
use crate::format::json::time::{parse_date, parse_time, parse_timestamp};
use crate::format::json::{JsonOptions, Times};
use crate::types::{FlinkType, TypeKind};

/// What is wrong with a value.
pub(super) type Fault = (FailureCode, &'static str);

/// One column being built.
#[derive(Debug)]
pub(super) struct Column {
    /// Type of the values.
    ty: FlinkType,
    /// How JSON is read.
    options: JsonOptions,
    /// Values, with a zero for each NULL.
    values: Values,
    /// Whether each value is there.
    valid: Vec<bool>,
}

/// Values by storage.
#[derive(Debug)]
enum Values {
    /// BOOLEAN.
    Boolean(Vec<bool>),
    /// Integers up to 64 bits, dates, times, timestamps, intervals.
    Integer(Vec<i64>),
    /// FLOAT and DOUBLE.
    Float(Vec<f64>),
    /// DECIMAL, unscaled.
    Decimal(Vec<i128>),
    /// Strings and byte strings: bytes back to back and the end of each.
    Bytes {
        /// Bytes.
        data: Vec<u8>,
        /// End of each value.
        ends: Vec<i32>,
    },
    /// Arrays, maps, multisets and rows.
    Nested(Vec<Node>),
}

/// A nested JSON value whose scalars keep their text, so that no digit is lost.
#[derive(Debug)]
enum Node {
    /// `null`.
    Null,
    /// The text of a string, number or boolean.
    Scalar(Box<[u8]>),
    /// An array.
    Array(Vec<Node>),
    /// An object; of a key that stands twice the last value counts.
    Object(BTreeMap<String, Node>),
}

impl Node {
    /// Reads a value that was skipped before, so that its depth is bounded.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, Fault> {
        let token = scanner.token().map_err(malformed)?;
        let start = scanner.position();
        match token {
            Token::Object => {
                let mut members = BTreeMap::new();
                scanner.eat(b'{');
                while !scanner.eat(b'}') {
                    scanner.eat(b',');
                    scanner.white();
                    let key = scanner.string().map_err(malformed)?;
                    let key = String::from_utf8_lossy(&key).into_owned();
                    scanner.eat(b':');
                    members.insert(key, Self::read(scanner)?);
                }
                Ok(Self::Object(members))
            }
            Token::Array => {
                let mut elements = Vec::new();
                scanner.eat(b'[');
                while !scanner.eat(b']') {
                    scanner.eat(b',');
                    elements.push(Self::read(scanner)?);
                }
                Ok(Self::Array(elements))
            }
            Token::Null => scanner
                .literal(b"null")
                .map_err(malformed)
                .map(|()| Self::Null),
            Token::String | Token::Number | Token::True | Token::False => {
                scanner.skip().map_err(malformed)?;
                Ok(Self::Scalar(scanner.since(start).into()))
            }
        }
    }

    /// Its JSON text.
    fn text(&self) -> Vec<u8> {
        match self {
            Self::Null => b"null".to_vec(),
            Self::Scalar(text) => text.to_vec(),
            Self::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(Self::text).collect();
                [b"[".as_slice(), &elements.join(&b','), b"]"].concat()
            }
            Self::Object(members) => {
                let member = |(key, value): (&String, &Self)| {
                    let key = serde_json::Value::from(key.as_str()).to_string();
                    [key.as_bytes(), b":", &value.text()].concat()
                };
                let members: Vec<_> = members.iter().map(member).collect();
                [b"{".as_slice(), &members.join(&b','), b"}"].concat()
            }
        }
    }

    /// Whether it is `null`.
    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Its elements, if it is an array.
    fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Scalar(_) | Self::Object(_) => None,
        }
    }

    /// Its members, if it is an object.
    fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Object(members) => Some(members),
            Self::Null | Self::Scalar(_) | Self::Array(_) => None,
        }
    }
}

/// A wrong type.
const WRONG_TYPE: Fault = (
    FailureCode::TypeMismatch,
    "the value has another type than the column",
);

/// A value out of range.
const OUT_OF_RANGE: Fault = (
    FailureCode::TypeMismatch,
    "the value is out of the column's range",
);

/// A value that is no JSON.
fn malformed(message: &'static str) -> Fault {
    (FailureCode::Malformed, message)
}

impl Column {
    /// An empty column.
    pub(super) fn new(ty: &FlinkType, options: JsonOptions) -> Self {
        let values = match &ty.kind {
            TypeKind::Boolean => Values::Boolean(Vec::new()),
            TypeKind::Float | TypeKind::Double => Values::Float(Vec::new()),
            TypeKind::Decimal { .. } => Values::Decimal(Vec::new()),
            TypeKind::Char(_)
            | TypeKind::VarChar(_)
            | TypeKind::Binary(_)
            | TypeKind::VarBinary(_) => Values::Bytes {
                data: Vec::new(),
                ends: Vec::new(),
            },
            TypeKind::Array(_)
            | TypeKind::Map(..)
            | TypeKind::Multiset(_)
            | TypeKind::Row(_)
            | TypeKind::Null => Values::Nested(Vec::new()),
            _ => Values::Integer(Vec::new()),
        };
        Self {
            ty: ty.clone(),
            options,
            values,
            valid: Vec::new(),
        }
    }

    /// Values held.
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether NULL is allowed.
    pub(super) fn is_nullable(&self) -> bool {
        self.ty.nullable
    }

    /// Cuts the column back.
    pub(super) fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.values {
            Values::Boolean(values) => values.truncate(len),
            Values::Integer(values) => values.truncate(len),
            Values::Float(values) => values.truncate(len),
            Values::Decimal(values) => values.truncate(len),
            Values::Bytes { data, ends } => {
                ends.truncate(len);
                data.truncate(
                    ends.last()
                        .map_or(0, |end| usize::try_from(*end).unwrap_or(0)),
                );
            }
            Values::Nested(values) => values.truncate(len),
        }
    }

    /// Appends NULL.
    pub(super) fn push_null(&mut self) {
        self.valid.push(false);
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Integer(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bytes { data, ends } => {
                ends.push(i32::try_from(data.len()).unwrap_or(i32::MAX));
            }
            Values::Nested(values) => values.push(Node::Null),
        }
    }

    /// Appends the value at the cursor.
    pub(super) fn push(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
        let token = scanner.token().map_err(malformed)?;
        if token == Token::Null {
            scanner.literal(b"null").map_err(malformed)?;
            if !self.ty.nullable {
                return Err((
                    FailureCode::NullValue,
                    "the value is null and the column is NOT NULL",
                ));
            }
            self.push_null();
            return Ok(());
        }
        match &mut self.values {
            Values::Boolean(values) => values.push(boolean(scanner, token, self.options)?),
            Values::Integer(values) => {
                values.push(integer(scanner, token, &self.ty.kind, self.options)?);
            }
            Values::Float(values) => {
                values.push(float(scanner, token, &self.ty.kind, self.options)?);
            }
            Values::Decimal(values) => {
                match decimal(scanner, token, &self.ty.kind, self.options)? {
                    Some(value) => values.push(value),
                    None if self.ty.nullable && !self.options.strict_types => {
                        // As in Flink's lenient reading: a number that does not fit the precision is NULL.
                        self.push_null();
                        return Ok(());
                    }
                    None => return Err(OUT_OF_RANGE),
                }
            }
            Values::Bytes { data, ends } => {
                bytes(scanner, token, &self.ty.kind, self.options, data)?;
                ends.push(i32::try_from(data.len()).map_err(|_| OUT_OF_RANGE)?);
            }
            Values::Nested(values) => {
                let start = scanner.position();
                scanner.skip().map_err(malformed)?;
                let value = Node::read(&mut Scanner::new(scanner.since(start)))?;
                fits(&value, &self.ty, self.options)?;
                values.push(value);
            }
        }
        self.valid.push(true);
        Ok(())
    }

    /// The finished column.
    ///
    /// # Errors
    /// `Internal` only.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let valid = std::mem::take(&mut self.valid);
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        let empty = Self::new(&self.ty, self.options).values;
        let ty = self.ty.to_arrow()?;
        Ok(match std::mem::replace(&mut self.values, empty) {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.into(), nulls)),
            Values::Integer(values) => integers(&ty, values, nulls)?,
            Values::Float(values) if ty == DataType::Float32 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a FLOAT column holds widened floats"
                )]
                let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                Arc::new(Float32Array::new(values.into(), nulls))
            }
            Values::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Decimal(values) => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(ty))
            }
            Values::Bytes { data, ends } => {
                let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let data = Buffer::from_vec(data);
                if ty == DataType::Utf8 {
                    Arc::new(StringArray::try_new(offsets, data, nulls)?)
                } else {
                    Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
                }
            }
            Values::Nested(values) => {
                nested(&values.iter().collect::<Vec<_>>(), &self.ty, self.options)?
            }
        })
    }
}

/// Integers as the array of a type.
#[expect(
    clippy::cast_possible_truncation,
    reason = "every value was checked against the type's range"
)]
fn integers(ty: &DataType, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let narrow =
        |values: &[i64]| -> Vec<i32> { values.iter().map(|value| *value as i32).collect() };
    Ok(match ty {
        DataType::Int8 => Arc::new(Int8Array::new(
            values
                .iter()
                .map(|value| *value as i8)
                .collect::<Vec<_>>()
                .into(),
            nulls,
        )),
        DataType::Int16 => Arc::new(Int16Array::new(
            values
                .iter()
                .map(|value| *value as i16)
                .collect::<Vec<_>>()
                .into(),
            nulls,
        )),
        DataType::Int32 => Arc::new(Int32Array::new(narrow(&values).into(), nulls)),
        DataType::Date32 => Arc::new(Date32Array::new(narrow(&values).into(), nulls)),
        DataType::Time32(_) => Arc::new(Time32MillisecondArray::new(narrow(&values).into(), nulls)),
        DataType::Int64 => Arc::new(Int64Array::new(values.into(), nulls)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Arc::new(TimestampMillisecondArray::new(values.into(), nulls))
        }
        DataType::Timestamp(_, _) => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls)),
        other => return Err(Error::internal(format!("JSON integers as {other}"))),
    })
}

/// The text of a value that is a string or, without strict types, any scalar.
fn scalar_text<'a>(
    scanner: &mut Scanner<'a>,
    token: Token,
    options: JsonOptions,
) -> Result<std::borrow::Cow<'a, [u8]>, Fault> {
    match token {
        Token::String => scanner.string().map_err(malformed),
        Token::Object | Token::Array => Err(WRONG_TYPE),
        _ if options.strict_types => Err(WRONG_TYPE),
        _ => {
            let start = scanner.position();
            scanner.skip().map_err(malformed)?;
            Ok(scanner.since(start).into())
        }
    }
}

/// A BOOLEAN; without strict types anything else is whether its text is `true`, as in Java.
fn boolean(scanner: &mut Scanner<'_>, token: Token, options: JsonOptions) -> Result<bool, Fault> {
    match token {
        Token::True => scanner.literal(b"true").map_err(malformed).map(|()| true),
        Token::False => scanner.literal(b"false").map_err(malformed).map(|()| false),
        Token::String if options.strict_types => Err(WRONG_TYPE),
        _ => Ok(scalar_text(scanner, token, options)?
            .trim_ascii()
            .eq_ignore_ascii_case(b"true")),
    }
}

/// An integer, date, time, timestamp or interval in its stored unit.
fn integer(
    scanner: &mut Scanner<'_>,
    token: Token,
    kind: &TypeKind,
    options: JsonOptions,
) -> Result<i64, Fault> {
    let is_time = matches!(
        kind,
        TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)
    );
    if is_time && options.times != Times::Numbers {
        if token != Token::String {
            return Err(WRONG_TYPE);
        }
        let text = scanner.string().map_err(malformed)?;
        return time_value(&text, kind, options.times).ok_or((
            FailureCode::TypeMismatch,
            "the text is not a date or time in the expected form",
        ));
    }
    let text = match token {
        Token::Number => std::borrow::Cow::Borrowed(scanner.number().map_err(malformed)?),
        Token::String if !options.strict_types => scanner.string().map_err(malformed)?,
        _ => return Err(WRONG_TYPE),
    };
    let value = parse_integer(&text, token == Token::Number && !options.strict_types)?;
    let (min, max) = match kind {
        TypeKind::TinyInt => (i64::from(i8::MIN), i64::from(i8::MAX)),
        TypeKind::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        TypeKind::Int | TypeKind::Date | TypeKind::Time(_) | TypeKind::IntervalYearMonth => {
            (i64::from(i32::MIN), i64::from(i32::MAX))
        }
        _ => (i64::MIN, i64::MAX),
    };
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(OUT_OF_RANGE)
    }
}

/// A time in its stored unit.
fn time_value(text: &[u8], kind: &TypeKind, times: Times) -> Option<i64> {
    match kind {
        TypeKind::Date => parse_date(text).map(i64::from),
        TypeKind::Time(_) => parse_time(text).map(i64::from),
        TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => {
            let micros = parse_timestamp(text, times, matches!(kind, TypeKind::TimestampLtz(_)))?;
            Some(if *p <= 3 {
                micros.div_euclid(1000)
            } else {
                micros
            })
        }
        _ => None,
    }
}

/// An integer from its text; with `truncates`, a number with a fraction or exponent is cut to its whole part, as Jackson does.
#[inline]
fn parse_integer(text: &[u8], truncates: bool) -> Result<i64, Fault> {
    let trimmed = text.trim_ascii();
    let digits = trimmed.strip_prefix(b"-").unwrap_or(trimmed);
    if !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) {
        let value = digits
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Ok(if digits.len() == trimmed.len() {
            value
        } else {
            -value
        });
    }
    let text = std::str::from_utf8(trimmed).map_err(|_| WRONG_TYPE)?;
    match text.parse::<i64>() {
        Ok(value) => Ok(value),
        Err(_) if truncates && text.contains(['.', 'e', 'E']) => {
            let value = unscaled(text.as_bytes(), 0, Rounding::Down).ok_or(OUT_OF_RANGE)?;
            i64::try_from(value).map_err(|_| OUT_OF_RANGE)
        }
        Err(error) => Err(match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                OUT_OF_RANGE
            }
            _ => WRONG_TYPE,
        }),
    }
}

/// A FLOAT or DOUBLE; the nearest float is taken from the text, because rounding twice can miss it.
fn float(
    scanner: &mut Scanner<'_>,
    token: Token,
    kind: &TypeKind,
    options: JsonOptions,
) -> Result<f64, Fault> {
    let text = match token {
        Token::Number => std::borrow::Cow::Borrowed(scanner.number().map_err(malformed)?),
        Token::String if !options.strict_types => scanner.string().map_err(malformed)?,
        _ => return Err(WRONG_TYPE),
    };
    let text = text.trim_ascii();
    let is_name = matches!(
        text.strip_prefix(b"-").unwrap_or(text),
        b"NaN" | b"Infinity"
    );
    // Rust also reads "inf" and "nan", Java does not.
    if text.iter().any(u8::is_ascii_alphabetic) && !is_name && !is_number(text) {
        return Err(WRONG_TYPE);
    }
    let text = std::str::from_utf8(text).map_err(|_| WRONG_TYPE)?;
    let value = if *kind == TypeKind::Float {
        text.parse().map(|value: f32| f64::from(value))
    } else {
        text.parse()
    };
    value.map_err(|_| WRONG_TYPE)
}

/// A DECIMAL, unscaled; absent when it does not fit the precision.
fn decimal(
    scanner: &mut Scanner<'_>,
    token: Token,
    kind: &TypeKind,
    options: JsonOptions,
) -> Result<Option<i128>, Fault> {
    let TypeKind::Decimal { precision, scale } = kind else {
        return Err(WRONG_TYPE);
    };
    let text = match token {
        Token::Number => std::borrow::Cow::Borrowed(scanner.number().map_err(malformed)?),
        Token::String if !options.strict_types => scanner.string().map_err(malformed)?,
        _ => return Err(WRONG_TYPE),
    };
    let text = text.trim_ascii();
    if token == Token::String && !is_number(text) {
        return Err(WRONG_TYPE);
    }
    let value = unscaled(text, i64::from(*scale), Rounding::HalfUp);
    Ok(value.filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(*precision))))
}

/// Whether a text is a decimal number such as `-12.5e3`.
fn is_number(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.token() == Ok(Token::Number)
        && scanner.number().is_ok()
        && scanner.position() == text.len()
}

/// How digits beyond the scale are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// Half away from zero.
    HalfUp,
    /// Towards zero.
    Down,
}

/// A number's value times ten to `scale`; absent when it has more than 38 digits.
fn unscaled(text: &[u8], scale: i64, rounding: Rounding) -> Option<i128> {
    let (is_negative, text) = text
        .strip_prefix(b"-")
        .map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let exponent = std::str::from_utf8(&text[at + 1..]).ok()?;
            // An exponent beyond this leaves nothing of 38 digits, whatever the mantissa.
            (
                &text[..at],
                exponent
                    .parse::<i64>()
                    .map_or(i64::from(i32::MAX), |e| e.clamp(-1_000_000, 1_000_000)),
            )
        }
        None => (text, 0),
    };
    let point = mantissa
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(mantissa.len());
    // Digits before this position make the result, the next one decides the rounding.
    let kept = i64::try_from(point)
        .ok()?
        .checked_add(exponent)?
        .checked_add(scale)?;
    let digits = || {
        mantissa
            .iter()
            .filter(|byte| **byte != b'.')
            .map(|digit| i128::from(digit - b'0'))
    };
    let mut value: i128 = 0;
    let mut position = 0;
    for digit in digits() {
        if position >= kept {
            break;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
        position += 1;
    }
    if value != 0 {
        for _ in position..kept {
            value = value.checked_mul(10)?;
        }
    }
    let next = usize::try_from(kept)
        .ok()
        .and_then(|kept| digits().nth(kept))
        .unwrap_or(0);
    if rounding == Rounding::HalfUp && next >= 5 {
        value = value.checked_add(1)?;
    }
    (value < 10i128.pow(38)).then_some(if is_negative { -value } else { value })
}

/// Appends a string or byte string.
fn bytes(
    scanner: &mut Scanner<'_>,
    token: Token,
    kind: &TypeKind,
    options: JsonOptions,
    data: &mut Vec<u8>,
) -> Result<(), Fault> {
    if kind.is_binary() {
        if token != Token::String {
            return Err(WRONG_TYPE);
        }
        let text = scanner.string().map_err(malformed)?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(&*text);
        data.extend_from_slice(
            &decoded.map_err(|_| (FailureCode::TypeMismatch, "the text is not base64"))?,
        );
        return Ok(());
    }
    match token {
        Token::String => data.extend_from_slice(&scanner.string().map_err(malformed)?),
        _ if options.strict_types => return Err(WRONG_TYPE),
        Token::Object | Token::Array => {
            let start = scanner.position();
            scanner.skip().map_err(malformed)?;
            compact(scanner.since(start), data);
        }
        _ => data.extend_from_slice(&scalar_text(scanner, token, options)?),
    }
    Ok(())
}

/// Appends JSON without the white space between its tokens.
fn compact(json: &[u8], data: &mut Vec<u8>) {
    let mut in_string = false;
    let mut is_escaped = false;
    for byte in json {
        if in_string || !byte.is_ascii_whitespace() {
            data.push(*byte);
        }
        in_string ^= *byte == b'"' && !is_escaped;
        is_escaped = in_string && *byte == b'\\' && !is_escaped;
    }
}

/// Whether a nested value fits a type, so that building it later cannot fail.
fn fits(value: &Node, ty: &FlinkType, options: JsonOptions) -> Result<(), Fault> {
    match (&ty.kind, value) {
        (_, Node::Null) if ty.nullable => Ok(()),
        (_, Node::Null) => Err((
            FailureCode::NullValue,
            "a nested value is null and its type is NOT NULL",
        )),
        (TypeKind::Array(element), Node::Array(values)) => values
            .iter()
            .try_for_each(|value| fits(value, element, options)),
        (TypeKind::Map(_, value_ty), Node::Object(entries)) => entries
            .values()
            .try_for_each(|value| fits(value, value_ty, options)),
        (TypeKind::Multiset(_), Node::Object(entries)) => {
            let counts = FlinkType {
                kind: TypeKind::Int,
                nullable: false,
            };
            entries
                .values()
                .try_for_each(|count| fits(count, &counts, options))
        }
        (TypeKind::Row(fields), Node::Object(entries)) => fields.iter().try_for_each(|field| {
            fits(
                entries.get(&field.name).unwrap_or(&Node::Null),
                &field.ty,
                options,
            )
        }),
        (
            TypeKind::Array(_)
            | TypeKind::Map(..)
            | TypeKind::Multiset(_)
            | TypeKind::Row(_)
            | TypeKind::Null,
            _,
        ) => Err(WRONG_TYPE),
        (_, Node::Scalar(text)) => Column::new(ty, options).push(&mut Scanner::new(text)),
        (_, Node::Array(_) | Node::Object(_)) => {
            let text = value.text();
            Column::new(ty, options).push(&mut Scanner::new(&text))
        }
    }
}

/// The array of nested values, which [`fits`] has checked.
fn nested(values: &[&Node], ty: &FlinkType, options: JsonOptions) -> Result<ArrayRef> {
    let arrow_type = ty.to_arrow()?;
    let nulls: NullBuffer = values
        .iter()
        .map(|value| !value.is_null())
        .collect::<Vec<_>>()
        .into();
    Ok(match (&ty.kind, &arrow_type) {
        (TypeKind::Null, _) => new_null_array(&arrow_type, values.len()),
        (TypeKind::Array(element), DataType::List(field)) => {
            let elements: Vec<&Node> = values
                .iter()
                .flat_map(|value| value.as_array().into_iter().flatten())
                .collect();
            let lengths = values
                .iter()
                .map(|value| value.as_array().map_or(0, <[Node]>::len));
            let child = nested(&elements, element, options)?;
            Arc::new(ListArray::try_new(
                field.clone(),
                OffsetBuffer::from_lengths(lengths),
                child,
                Some(nulls),
            )?)
        }
        (TypeKind::Map(key, value), DataType::Map(field, _)) => {
            map(values, (key, value), field, nulls, options)?
        }
        (TypeKind::Multiset(element), DataType::Map(field, _)) => {
            let counts = FlinkType {
                kind: TypeKind::Int,
                nullable: false,
            };
            map(values, (element, &counts), field, nulls, options)?
        }
        (TypeKind::Row(fields), DataType::Struct(arrow_fields)) => {
            let null = Node::Null;
            let column = |field: &crate::types::RowField| {
                let cells: Vec<&Node> = values
                    .iter()
                    .map(|value| {
                        let members = value.as_object();
                        members
                            .and_then(|members| members.get(&field.name))
                            .unwrap_or(&null)
                    })
                    .collect();
                nested(&cells, &field.ty, options)
            };
            let columns = fields.iter().map(column).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(
                arrow_fields.clone(),
                columns,
                Some(nulls),
            )?)
        }
        _ => {
            let mut column = Column::new(&ty.with_nullable(true), options);
            for value in values {
                column
                    .push(&mut Scanner::new(&value.text()))
                    .map_err(|(_, message)| {
                        Error::internal(format!("a checked value: {message}"))
                    })?;
            }
            column.finish()?
        }
    })
}

/// The array of JSON objects as maps; keys are strings, cast to the key type.
fn map(
    values: &[&Node],
    (key, value): (&FlinkType, &FlinkType),
    field: &Arc<Field>,
    nulls: NullBuffer,
    options: JsonOptions,
) -> Result<ArrayRef> {
    if !key.kind.is_character() {
        return Err(Error::unsupported(format!(
            "JSON map with keys of type {}",
            key.kind
        )));
    }
    let entries = || {
        values
            .iter()
            .flat_map(|value| value.as_object().into_iter().flatten())
    };
    let keys = StringArray::from_iter_values(entries().map(|(key, _)| key));
    let cells: Vec<&Node> = entries().map(|(_, value)| value).collect();
    let children: Vec<ArrayRef> = vec![Arc::new(keys), nested(&cells, value, options)?];
    let DataType::Struct(fields) = field.data_type() else {
        return Err(Error::internal("map entries are a struct"));
    };
    let lengths = values
        .iter()
        .map(|value| value.as_object().map_or(0, BTreeMap::len));
    let entries = StructArray::try_new(fields.clone(), children, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(
        field.clone(),
        offsets,
        entries,
        Some(nulls),
        false,
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_round_half_up() {
        let value = |text: &str, scale| unscaled(text.as_bytes(), scale, Rounding::HalfUp);
        assert_eq!(value("12.345", 2), Some(1235));
        assert_eq!(value("-12.345", 2), Some(-1235));
        assert_eq!(value("12.344", 2), Some(1234));
        assert_eq!(value("0.005", 2), Some(1));
        assert_eq!(value("0.05", 0), Some(0));
        assert_eq!(value("5e-1", 0), Some(1));
        assert_eq!(value("0.5e-1", 0), Some(0));
        assert_eq!(value("1.5e3", 2), Some(150_000));
        assert_eq!(value("0e999999999999", 2), Some(0));
        assert_eq!(value("1e38", 0), None);
        assert_eq!(
            value("99999999999999999999999999999999999999", 0),
            Some(10i128.pow(38) - 1)
        );
        assert_eq!(unscaled(b"-1.99", 0, Rounding::Down), Some(-1));
    }
}
