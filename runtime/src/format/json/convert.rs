//! JSON values into columns, exactly.
//!
//! Place in the flow: `decoder` calls it for what it did not predict. Invariant: it sees only bytes whose syntax was checked, so a
//! fault is about a type, a range or a NULL, and a key given twice counts the last time, as in Flink.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::format::FailureCode;
use crate::format::column::{Column, Data, Fault, Names};
use crate::format::json::scan::{self, Scan, SyntaxError};
use crate::format::json::{Faults, JsonOptions, Maps, MissingField, Typing};
use crate::format::text::{self, TimestampFormat};

/// A scalar, or the text of something that is none.
#[derive(Debug)]
enum Token<'a> {
    /// A string, escapes resolved.
    Text(Cow<'a, str>),
    /// The digits of a number.
    Number(&'a str),
    /// `true` or `false`.
    Boolean(bool),
    /// An array or object.
    Container,
}

impl Token<'_> {
    /// What it is, for messages.
    fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Container => "an array or object",
        }
    }
}

/// Bytes that were checked and yet do not scan: a bug, reported as a damaged record rather than a panic.
fn unsound(error: SyntaxError) -> Fault {
    malformed(error)
}

/// A record that is not JSON.
pub(in crate::format) fn malformed(error: SyntaxError) -> Fault {
    Fault::new(
        FailureCode::Malformed,
        format!("not JSON: {} at byte {}", error.what, error.at),
    )
}

/// The text of bytes that were checked to be UTF-8.
fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|_| Fault::new(FailureCode::Malformed, "not JSON: bytes that are not UTF-8"))
}

/// The string at `at`, escapes resolved.
pub(in crate::format) fn string_at(bytes: &[u8], at: usize) -> Result<Cow<'_, str>, Fault> {
    let end = scan::plain_end(bytes, at + 1);
    if bytes.get(end) == Some(&b'"') {
        return Ok(Cow::Borrowed(utf8(&bytes[at + 1..end])?));
    }
    let mut text = Vec::new();
    scan::unescape(bytes, at, &mut text).map_err(unsound)?;
    String::from_utf8(text)
        .map(Cow::Owned)
        .map_err(|_| Fault::new(FailureCode::Malformed, "not JSON: bytes that are not UTF-8"))
}

/// The token at `at`.
fn token_at(bytes: &[u8], at: usize) -> Result<Token<'_>, Fault> {
    Ok(match bytes.get(at) {
        Some(b'"') => Token::Text(string_at(bytes, at)?),
        Some(b't') => Token::Boolean(true),
        Some(b'f') => Token::Boolean(false),
        Some(b'{' | b'[') => Token::Container,
        Some(_) | None => {
            let end = scan::skip_value(bytes, at, 0).map_err(unsound)?;
            Token::Number(utf8(&bytes[at..end])?)
        }
    })
}

/// Appends the value at `at` to a column.
///
/// # Errors
/// A fault when the column does not take it; what was appended stays, for the caller to take back.
pub(in crate::format) fn append(
    column: &mut Column,
    bytes: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Result<(), Fault> {
    match options.faults {
        Faults::Fail => append_value(column, bytes, at, options),
        Faults::Null => {
            let rows = column.len();
            append_value(column, bytes, at, options).or_else(|_| {
                column.truncate(rows);
                column.append_null()
            })
        }
    }
}

/// As [`append`], whatever is done with faults.
fn append_value(
    column: &mut Column,
    bytes: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Result<(), Fault> {
    if bytes.get(at) == Some(&b'n') {
        return column.append_null();
    }
    match &mut column.data {
        Data::List { offsets, element } => append_list(offsets, element, bytes, at, options)?,
        Data::Map {
            offsets,
            key,
            value,
        } => {
            let rows = append_entries((key, value), bytes, at, options)?;
            offsets.push(rows);
        }
        Data::Row { names, children } => {
            if bytes.get(at) != Some(&b'{') {
                return Err(Fault::mismatch("expected an object"));
            }
            find_members(names, bytes, at).map_err(unsound)?;
            append_members(names, children, bytes, options)?;
        }
        Data::Boolean(_)
        | Data::Int8(_)
        | Data::Int16(_)
        | Data::Int32(_)
        | Data::Int64(_)
        | Data::Float32(_)
        | Data::Float64(_)
        | Data::Decimal { .. }
        | Data::Date(_)
        | Data::Time(_)
        | Data::Timestamp { .. }
        | Data::Nanos { .. }
        | Data::Utf8(_)
        | Data::Binary(_) => return append_scalar(column, bytes, at, options),
    }
    column.valid();
    Ok(())
}

/// Checks a record, which must be an object, and notes where its named members are; the place of the object.
///
/// # Errors
/// A fault when the record is not JSON, or no object.
pub(in crate::format) fn find_root(names: &mut Names, record: &[u8]) -> Result<usize, Fault> {
    if simdutf8::basic::from_utf8(record).is_err() {
        let at =
            std::str::from_utf8(record).map_or_else(|error| error.valid_up_to(), |_| record.len());
        return Err(malformed(SyntaxError {
            at,
            what: "bytes that are not UTF-8",
        }));
    }
    let at = scan::skip_space(record, 0);
    let is_object = record.get(at) == Some(&b'{');
    let end = if is_object {
        find_members(names, record, at)
    } else {
        scan::skip_value(record, at, 0)
    };
    let end = scan::skip_space(record, end.map_err(malformed)?);
    if end != record.len() {
        return Err(malformed(SyntaxError {
            at: end,
            what: "text behind the value",
        }));
    }
    if is_object {
        Ok(at)
    } else {
        Err(Fault::new(
            FailureCode::Malformed,
            "the record is not a JSON object",
        ))
    }
}

/// Notes where each named member of an object is; the last of equal keys counts.
pub(in crate::format) fn find_members(names: &mut Names, bytes: &[u8], at: usize) -> Scan {
    let mut places = std::mem::take(&mut names.places);
    places.fill(None);
    let mut guess = 0;
    let scan = scan::walk_object(bytes, at, 0, |key, value| {
        if let Some(position) = member_position(names, bytes, key, guess) {
            places[position] = Some(value);
            guess = position + 1;
        }
    });
    names.places = places;
    scan
}

/// The place of a member of an object, if it is one and has it; the last of equal keys counts.
pub(in crate::format) fn find_member(bytes: &[u8], at: usize, name: &str) -> Option<usize> {
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    let mut found = None;
    scan::walk_object(bytes, at, 0, |key, value| {
        if string_at(bytes, key).is_ok_and(|key| key == name) {
            found = Some(value);
        }
    })
    .ok()?;
    found
}

/// The field that a key stands for.
pub(super) fn member_position(
    names: &Names,
    bytes: &[u8],
    key: usize,
    guess: usize,
) -> Option<usize> {
    let end = scan::plain_end(bytes, key + 1);
    if bytes.get(end) == Some(&b'"') {
        return names.position(&bytes[key + 1..end], guess);
    }
    let mut name = Vec::new();
    scan::unescape(bytes, key, &mut name).ok()?;
    names.position(&name, guess)
}

/// Appends the members that [`find_members`] found, one to each column.
pub(in crate::format) fn append_members(
    names: &Names,
    columns: &mut [Column],
    bytes: &[u8],
    options: &JsonOptions,
) -> Result<(), Fault> {
    for ((column, place), name) in columns.iter_mut().zip(&names.places).zip(&names.list) {
        let outcome = match (place, options.missing_field) {
            (Some(at), _) => append(column, bytes, *at, options),
            (None, MissingField::Null) => column.append_null(),
            (None, MissingField::Fail) => Err(Fault::new(FailureCode::NullValue, "is missing")),
        };
        outcome.map_err(|fault| fault.within(name))?;
    }
    Ok(())
}

/// Appends an array.
fn append_list(
    offsets: &mut Vec<i32>,
    element: &mut Column,
    bytes: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Result<(), Fault> {
    if bytes.get(at) != Some(&b'[') {
        return Err(Fault::mismatch("expected an array"));
    }
    let mut outcome = Ok(());
    let mut position = 0_usize;
    scan::walk_array(bytes, at, 0, |place| {
        if outcome.is_ok() {
            outcome = append(element, bytes, place, options)
                .map_err(|fault| fault.within(&format!("[{position}]")));
            position += 1;
        }
    })
    .map_err(unsound)?;
    outcome?;
    offsets.push(length(element)?);
    Ok(())
}

/// The length of a column as an offset.
fn length(column: &Column) -> Result<i32, Fault> {
    i32::try_from(column.len()).map_err(|_| Fault::mismatch("too many elements in one batch"))
}

/// Appends the entries of a map; the number of entries of all maps so far.
fn append_entries(
    (key, value): (&mut Column, &mut Column),
    bytes: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Result<i32, Fault> {
    let is_text = matches!(key.data, Data::Utf8(_));
    if is_text {
        if bytes.get(at) != Some(&b'{') {
            return Err(Fault::mismatch("expected an object"));
        }
        for (name, place) in object_entries(bytes, at)? {
            text::append(key, &name, options.timestamp_format)?;
            append(value, bytes, place, options).map_err(|fault| fault.within(&name))?;
        }
    } else {
        if bytes.get(at) != Some(&b'[') || options.maps == Maps::Objects {
            return Err(Fault::mismatch("expected an array of keys and values"));
        }
        for (key_place, value_place) in array_entries(bytes, at)? {
            append(key, bytes, key_place, options).map_err(|fault| fault.within("key"))?;
            match value_place {
                Some(place) => append(value, bytes, place, options),
                None => value.append_null(),
            }
            .map_err(|fault| fault.within("value"))?;
        }
    }
    length(key)
}

/// Keys and places of the values of an object, each key once.
fn object_entries(bytes: &[u8], at: usize) -> Result<Vec<(Cow<'_, str>, usize)>, Fault> {
    let mut places = Vec::new();
    scan::walk_object(bytes, at, 0, |key, value| places.push((key, value))).map_err(unsound)?;
    let mut entries: Vec<(Cow<'_, str>, usize)> = Vec::with_capacity(places.len());
    let mut seen: HashMap<Cow<'_, str>, usize, foldhash::fast::RandomState> = HashMap::default();
    for (key, value) in places {
        let name = string_at(bytes, key)?;
        if let Some(position) = seen.get(&name) {
            entries[*position].1 = value;
        } else {
            seen.insert(name.clone(), entries.len());
            entries.push((name, value));
        }
    }
    Ok(entries)
}

/// Places of the keys and values of an array of entries, each key once.
fn array_entries(bytes: &[u8], at: usize) -> Result<Vec<(usize, Option<usize>)>, Fault> {
    let mut objects = Vec::new();
    scan::walk_array(bytes, at, 0, |place| objects.push(place)).map_err(unsound)?;
    let mut entries: Vec<(usize, Option<usize>)> = Vec::with_capacity(objects.len());
    let mut seen: HashMap<&[u8], usize, foldhash::fast::RandomState> = HashMap::default();
    for object in objects {
        if bytes.get(object) != Some(&b'{') {
            return Err(Fault::mismatch("expected an object of key and value"));
        }
        let (mut key, mut value) = (None, None);
        for (name, place) in object_entries(bytes, object)? {
            match name.as_ref() {
                "key" => key = Some(place),
                "value" => value = Some(place),
                _ => {}
            }
        }
        let key = key.ok_or_else(|| Fault::mismatch("an entry has no key"))?;
        let end = scan::skip_value(bytes, key, 0).map_err(unsound)?;
        if let Some(position) = seen.get(&bytes[key..end]) {
            entries[*position] = (key, value);
        } else {
            seen.insert(&bytes[key..end], entries.len());
            entries.push((key, value));
        }
    }
    Ok(entries)
}

/// Appends a value that is no array, map or row.
fn append_scalar(
    column: &mut Column,
    bytes: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Result<(), Fault> {
    let token = token_at(bytes, at)?;
    if options.typing == Typing::Strict {
        require(&column.data, &token, options.timestamp_format)?;
    }
    match (&mut column.data, &token) {
        (Data::Utf8(values), Token::Container) => {
            compact(bytes, at, &mut values.bytes)?;
            values.close();
        }
        (Data::Utf8(values), Token::Boolean(value)) => {
            values.push(if *value { b"true" } else { b"false" });
        }
        (Data::Boolean(values), Token::Boolean(value)) => values.append(*value),
        (Data::Int32(values), Token::Number(number)) if is_float(number) => {
            let whole = whole_part(number, options.typing)?;
            values.push(i32::try_from(whole).map_err(|_| out_of_range(number, "an INT"))?);
        }
        (Data::Int64(values), Token::Number(number)) if is_float(number) => {
            values.push(whole_part(number, options.typing)?);
        }
        (
            Data::Date(_) | Data::Time(_) | Data::Timestamp { .. } | Data::Nanos { .. },
            Token::Number(number),
        ) if options.timestamp_format == TimestampFormat::Epoch => {
            append_epoch(&mut column.data, number)?;
        }
        (_, Token::Container | Token::Boolean(_))
        | (
            Data::Binary(_)
            | Data::Date(_)
            | Data::Time(_)
            | Data::Timestamp { .. }
            | Data::Nanos { .. },
            Token::Number(_),
        ) => {
            return Err(unexpected(&column.data, &token, options));
        }
        (_, Token::Text(value)) => {
            return text::append(column, value, options.timestamp_format);
        }
        (_, Token::Number(number)) => {
            return text::append(column, number, options.timestamp_format);
        }
    }
    column.valid();
    Ok(())
}

/// Whether a number is written with a point or an exponent.
fn is_float(number: &str) -> bool {
    number
        .bytes()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// A number that the type does not hold.
fn out_of_range(number: &str, what: &str) -> Fault {
    Fault::mismatch(format!(
        "{} is out of the range of {what}",
        text::excerpt(number)
    ))
}

/// The whole part of a number with a point or an exponent, as Jackson cuts it.
fn whole_part(number: &str, typing: Typing) -> Result<i64, Fault> {
    /// `2^63`, the first double that a BIGINT does not hold.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if typing == Typing::Strict {
        return Err(Fault::mismatch(format!(
            "{} is not written as an integer",
            text::excerpt(number)
        )));
    }
    let value = text::parse_double(number)
        .filter(|value| (-LIMIT..LIMIT).contains(value))
        .ok_or_else(|| out_of_range(number, "a BIGINT"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked and the fraction is to be cut"
    )]
    Ok(value as i64)
}

/// Appends a date or time given as a number.
fn append_epoch(data: &mut Data, number: &str) -> Result<(), Fault> {
    let value: i64 = number.parse().map_err(|_| {
        Fault::mismatch(format!(
            "{} is not written as an integer",
            text::excerpt(number)
        ))
    })?;
    match data {
        Data::Date(values) => {
            values.push(i32::try_from(value).map_err(|_| out_of_range(number, "a DATE"))?);
        }
        Data::Time(values) => {
            let millis = i32::try_from(value)
                .ok()
                .filter(|_| text::is_time_of_day(value))
                .ok_or_else(|| out_of_range(number, "a TIME"))?;
            values.push(millis);
        }
        Data::Timestamp { values, micros, .. } => {
            let value = if *micros {
                text::to_micros(value, false)
            } else {
                Some(value)
            };
            values.push(value.ok_or_else(|| out_of_range(number, "a TIMESTAMP"))?);
        }
        Data::Nanos { values, .. } => values.push(i128::from(value) * 1_000_000),
        _ => return Err(Fault::mismatch("a number where a date was expected")),
    }
    Ok(())
}

/// Refuses a token of another JSON type than the column is written as.
fn require(data: &Data, token: &Token<'_>, format: TimestampFormat) -> Result<(), Fault> {
    let expected = expected(data, format);
    if token.name() == expected {
        Ok(())
    } else {
        Err(Fault::mismatch(format!(
            "expected {expected}, found {}",
            token.name()
        )))
    }
}

/// The JSON type that a column is written as.
fn expected(data: &Data, format: TimestampFormat) -> &'static str {
    match data {
        Data::Boolean(_) => "a boolean",
        Data::Int8(_)
        | Data::Int16(_)
        | Data::Int32(_)
        | Data::Int64(_)
        | Data::Float32(_)
        | Data::Float64(_)
        | Data::Decimal { .. } => "a number",
        Data::Date(_) | Data::Time(_) | Data::Timestamp { .. } | Data::Nanos { .. } => match format
        {
            TimestampFormat::Epoch => "a number",
            TimestampFormat::Sql | TimestampFormat::Iso8601 => "a string",
        },
        Data::Utf8(_) | Data::Binary(_) => "a string",
        Data::List { .. } | Data::Map { .. } | Data::Row { .. } => "an array or object",
    }
}

/// A token that the column does not take even leniently.
fn unexpected(data: &Data, token: &Token<'_>, options: &JsonOptions) -> Fault {
    Fault::mismatch(format!(
        "expected {}, found {}",
        expected(data, options.timestamp_format),
        token.name()
    ))
}

/// Appends the JSON text of an array or object without white space; numbers keep their digits.
fn compact(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let end = scan::skip_value(bytes, at, 0).map_err(unsound)?;
    let mut place = at;
    while place < end {
        match bytes[place] {
            b'"' => {
                let text = string_at(bytes, place)?;
                crate::format::json::encoder::write_string(out, text.as_bytes());
                place = scan::skip_string(bytes, place).map_err(unsound)?;
            }
            b' ' | b'\t' | b'\n' | b'\r' => place += 1,
            byte => {
                out.push(byte);
                place += 1;
            }
        }
    }
    Ok(())
}
