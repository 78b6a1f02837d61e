//! `PRINTF`: the format strings of `java.util.Formatter`.
//!
//! Place in the flow: a row of the function table. A format is split into pieces, each piece takes its argument as Flink keeps
//! it inside (a DATE is a number of days). Invariant: what `java.util.Formatter` throws on gives NULL. Dates (`%t`) and
//! hexadecimal floating point (`%a`) are not there and give NULL too.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType,
};

use super::rules::count;
use super::string::utf16;
use super::{Function, Resolve, call, mismatch};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::zone::Zone;
use crate::sql::expr::Expr;
use crate::sql::text::text;
use crate::sql::typing::convert;
use crate::types::TypeKind;

mod number;

/// Largest width and precision, in characters.
///
/// # Source
/// Guess, unmeasured: far above any field, and bounds what one piece may take of memory.
const MAX_WIDTH: usize = 1 << 20;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![Function::new("PRINTF", Resolve::Custom(printf_call), printf).failing()]
}

/// A format and any arguments.
fn printf_call(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let format = &args[0].ty.kind;
    if !format.is_character() && *format != TypeKind::Null {
        return Err(mismatch(name, &args, "(STRING, values...)"));
    }
    let mut args = args;
    for arg in &mut args {
        // NULL without a type has no storage; as a STRING it is printed the same.
        if arg.ty.kind == TypeKind::Null {
            *arg = convert(arg.clone(), &TypeKind::string());
        }
    }
    Ok(call(name, args, TypeKind::string().nullable(), span))
}

/// A value to print.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// An integer and its number of bits; also DATE, TIME and intervals.
    Integer(i64, u32),
    /// FLOAT or DOUBLE, and its text.
    Real(f64, String),
    /// Anything else as text.
    Text(String),
}

impl Value {
    /// An argument of a row.
    fn of(call: &Call<'_>, column: &ArrayRef, place: usize, row: usize) -> Result<Self> {
        if column.is_null(row) {
            return Ok(Self::Null);
        }
        let ty = &call.types[place];
        let written = || Ok::<_, Error>(text(column, row, ty, call.zone)?.unwrap_or_default());
        /// Reads an integer.
        macro_rules! integer {
            ($ty:ty, $bits:literal) => {
                Self::Integer(column.as_primitive::<$ty>().value(row).into(), $bits)
            };
        }
        Ok(match column.data_type() {
            DataType::Boolean => Self::Boolean(column.as_boolean().value(row)),
            DataType::Int8 => integer!(Int8Type, 8),
            DataType::Int16 => integer!(Int16Type, 16),
            DataType::Int32 => integer!(Int32Type, 32),
            DataType::Int64 => integer!(Int64Type, 64),
            DataType::Date32 => integer!(Date32Type, 32),
            DataType::Time32(_) => integer!(Time32MillisecondType, 32),
            DataType::Float32 => {
                let value = column.as_primitive::<Float32Type>().value(row);
                Self::Real(value.into(), written()?)
            }
            DataType::Float64 => {
                Self::Real(column.as_primitive::<Float64Type>().value(row), written()?)
            }
            _ if matches!(ty.kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)) => {
                let utc = text(column, row, ty, &Zone::parse("UTC")?)?;
                Self::Text(local_date_time(&utc.unwrap_or_default()))
            }
            _ => Self::Text(written()?),
        })
    }

    /// The text of `%s`.
    fn written(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value, _) => value.to_string(),
            Self::Real(_, text) | Self::Text(text) => text.clone(),
        }
    }
}

/// A timestamp as `java.time.LocalDateTime.toString` writes it: seconds only when there are any, of the fraction as many
/// groups of three digits as it needs.
fn local_date_time(text: &str) -> String {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.trim_end_matches('0').len().div_ceil(3) * 3;
    let seconds = seconds.replace(' ', "T");
    if digits > 0 {
        return format!("{seconds}.{:0<digits$}", fraction.trim_end_matches('0'));
    }
    match seconds.strip_suffix(":00") {
        Some(minutes) => minutes.to_owned(),
        None => seconds,
    }
}

/// A part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Printed as it is.
    Fixed(String),
    /// Prints an argument.
    Argument(Specifier),
}

/// Which argument is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The next that no index names.
    Next,
    /// The one before (`%<s`).
    Same,
    /// By its index from 1 (`%2$s`).
    Index(usize),
}

/// `%[index$][flags][width][.precision]conversion`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Specifier {
    /// The argument.
    source: Source,
    /// Flags: some of `-#+ 0,(`.
    flags: String,
    /// Least number of characters.
    width: Option<usize>,
    /// Digits behind the point, or most characters.
    precision: Option<usize>,
    /// The letter, in small.
    conversion: char,
    /// Whether the letter was a capital, which makes capitals of the result.
    capitals: bool,
}

impl Specifier {
    /// Whether a flag is set.
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Checks what depends on no argument.
    fn is_valid(&self) -> bool {
        let both = |a, b| self.has(a) && self.has(b);
        let fits = |allowed: &str| self.flags.chars().all(|flag| allowed.contains(flag));
        let mut seen = self.flags.chars().collect::<Vec<_>>();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != self.flags.len() || both('-', '0') || both('+', ' ') {
            return false;
        }
        if (self.has('-') || self.has('0')) && self.width.is_none() {
            return false;
        }
        match self.conversion {
            'b' | 'h' | 's' => fits("-"),
            'c' => fits("-") && self.precision.is_none(),
            'd' => fits("-+ 0,(") && self.precision.is_none(),
            'o' | 'x' => fits("-#0") && self.precision.is_none(),
            'e' => fits("-#+ 0("),
            'f' => fits("-#+ 0,("),
            'g' => fits("-+ 0,("),
            _ => false,
        }
    }

    /// Prints a value; `None` when Java refuses it.
    fn print(&self, value: &Value) -> Option<String> {
        let cut = |text: String| match self.precision {
            Some(most) if utf16::length(&text) > most => {
                utf16::text(utf16::units(&text).get(..most).unwrap_or_default())
            }
            _ => text,
        };
        let text = match (self.conversion, value) {
            ('b', Value::Null) => cut("false".to_owned()),
            ('b', Value::Boolean(value)) => cut(value.to_string()),
            ('b', _) => cut("true".to_owned()),
            ('s', value) => cut(value.written()),
            ('h', Value::Integer(value, 8..=32)) => {
                let hash = i32::try_from(*value).unwrap_or_default();
                cut(format!("{hash:x}"))
            }
            ('h', Value::Boolean(value)) => cut(if *value { "4cf" } else { "4d5" }.to_owned()),
            (_, Value::Null) => cut("null".to_owned()),
            ('c', Value::Integer(value, 8..=32)) => {
                let c = u32::try_from(*value).ok().and_then(char::from_u32)?;
                c.to_string()
            }
            ('d' | 'o' | 'x', Value::Integer(value, bits)) => number::integer(self, *value, *bits),
            ('e' | 'f' | 'g', Value::Real(value, _)) => number::real(self, *value),
            _ => return None,
        };
        let text = if self.capitals {
            text.to_uppercase()
        } else {
            text
        };
        Some(self.justified(&text))
    }

    /// Fills up to the width with blanks.
    fn justified(&self, text: &str) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(utf16::length(text));
        let blanks = " ".repeat(missing);
        if self.has('-') {
            format!("{text}{blanks}")
        } else {
            format!("{blanks}{text}")
        }
    }
}

/// Reads digits off the front.
fn digits(rest: &mut &str) -> Option<usize> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    number.parse().ok()
}

/// Splits a format; `None` when Java refuses it.
fn pieces(format: &str) -> Result<Option<Vec<Piece>>> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some((fixed, behind)) = rest.split_once('%') {
        pieces.push(Piece::Fixed(fixed.to_owned()));
        rest = behind;
        let Some(piece) = specifier(&mut rest)? else {
            return Ok(None);
        };
        pieces.push(piece);
    }
    pieces.push(Piece::Fixed(rest.to_owned()));
    Ok(Some(pieces))
}

/// Reads what follows a `%`.
fn specifier(rest: &mut &str) -> Result<Option<Piece>> {
    let mut source = Source::Next;
    let mut ahead = *rest;
    // A number that begins with 0 is a flag and a width.
    if !ahead.starts_with('0')
        && let Some(index) = digits(&mut ahead)
        && let Some(behind) = ahead.strip_prefix('$')
    {
        source = Source::Index(index);
        *rest = behind;
    }
    let length = rest.bytes().take_while(|b| b"-#+ 0,(<".contains(b)).count();
    let (flags, behind) = rest.split_at(length);
    let mut flags = flags.to_owned();
    *rest = behind;
    if let Some(at) = flags.find('<') {
        flags.remove(at);
        source = Source::Same;
    }
    let width = digits(rest);
    let precision = match rest.strip_prefix('.') {
        None => None,
        Some(behind) => {
            *rest = behind;
            let Some(precision) = digits(rest) else {
                return Ok(None);
            };
            Some(precision)
        }
    };
    if width.max(precision) > Some(MAX_WIDTH) {
        return Err(Error::arithmetic(format!(
            "PRINTF with a width or precision above {MAX_WIDTH}"
        )));
    }
    let Some(letter) = rest.chars().next() else {
        return Ok(None);
    };
    *rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    let specifier = Specifier {
        source,
        flags,
        width,
        precision,
        conversion: letter.to_ascii_lowercase(),
        capitals: letter.is_ascii_uppercase(),
    };
    let alone = specifier.flags.is_empty() && width.is_none() && precision.is_none();
    Ok(match letter {
        'n' => alone.then(|| Piece::Fixed("\n".to_owned())),
        '%' => {
            let fits = precision.is_none()
                && (specifier.flags.is_empty() || (specifier.flags == "-" && width.is_some()));
            fits.then(|| Piece::Fixed(specifier.justified("%")))
        }
        'D' | 'F' | 'O' | 'N' => None,
        _ => specifier.is_valid().then_some(Piece::Argument(specifier)),
    })
}

/// Prints the pieces with a row's values; `None` when Java refuses one.
fn print(pieces: &[Piece], values: &[Value]) -> Option<String> {
    let mut out = String::new();
    let (mut next, mut last) = (0, None);
    for piece in pieces {
        let specifier = match piece {
            Piece::Fixed(fixed) => {
                out.push_str(fixed);
                continue;
            }
            Piece::Argument(specifier) => specifier,
        };
        let place = match specifier.source {
            Source::Next => {
                next += 1;
                next - 1
            }
            Source::Same => last?,
            Source::Index(index) => index.checked_sub(1)?,
        };
        last = Some(place);
        out.push_str(&specifier.print(values.get(place)?)?);
    }
    Some(out)
}

/// `PRINTF(format, values...)`.
fn printf(call: &Call<'_>) -> Result<ArrayRef> {
    let format = call.text(0)?;
    let columns: Vec<ArrayRef> = (1..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let mut known: Option<(&str, Option<Vec<Piece>>)> = None;
    call.texts(|row| {
        let Some(format) = format.get(row) else {
            return Ok(None);
        };
        if known.as_ref().is_none_or(|(text, _)| *text != format) {
            known = Some((format, pieces(format)?));
        }
        let Some(pieces) = known.as_ref().and_then(|(_, pieces)| pieces.as_ref()) else {
            return Ok(None);
        };
        let values: Vec<Value> = columns
            .iter()
            .enumerate()
            .map(|(i, column)| Value::of(call, column, i + 1, row))
            .collect::<Result<_>>()?;
        Ok(print(pieces, &values))
    })
}

#[cfg(test)]
mod tests;
