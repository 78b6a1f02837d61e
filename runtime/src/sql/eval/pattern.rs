//! Java's date patterns: the common letters of `DateTimeFormatter`.
//!
//! Place in the flow: `DATE_FORMAT`, `TO_TIMESTAMP`, `TO_DATE`, `FROM_UNIXTIME` and `UNIX_TIMESTAMP` compile one per batch.
//! Invariant: a letter that is not known is refused, never printed as text.

use std::fmt::Write;

use super::datetime::{self, DAY_US, Moment};
use crate::error::{Error, Kind, Result};

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Text as it is.
    Literal(String),
    /// A letter of the calendar and how often it is repeated.
    Field(Letter, usize),
}

/// A letter of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letter {
    /// `y`, `u`.
    Year,
    /// `M`, `L`.
    Month,
    /// `d`.
    Day,
    /// `D`.
    DayOfYear,
    /// `E`.
    Weekday,
    /// `H`.
    Hour,
    /// `h`.
    HalfHour,
    /// `a`.
    HalfDay,
    /// `m`.
    Minute,
    /// `s`.
    Second,
    /// `S`: digits of the fraction.
    Fraction,
}

/// English names of months.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// English names of days, from Monday.
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `Unsupported` for a letter beyond the common ones, `Data` for a letter that Java does not know and for an open quote.
    pub(crate) fn compile(pattern: &str) -> Result<Self> {
        let mut tokens = Vec::new();
        let mut unsupported = None;
        let mut characters = pattern.chars().peekable();
        while let Some(c) = characters.next() {
            if c == '\'' {
                tokens.push(Token::Literal(quoted(&mut characters, pattern)?));
            } else if c.is_ascii_alphabetic() {
                let mut repeat = 1;
                while characters.next_if_eq(&c).is_some() {
                    repeat += 1;
                }
                match letter(c, pattern) {
                    Ok(letter) => tokens.push(Token::Field(letter, repeat)),
                    // A letter that not even Java knows may come.
                    Err(error) if error.kind == Kind::Unsupported => {
                        unsupported.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            } else if !matches!(c, '[' | ']' | '{' | '}' | '#') {
                tokens.push(Token::Literal(c.to_string()));
            } else {
                return Err(Error::unsupported(format!(
                    "\"{c}\" in the date pattern \"{pattern}\""
                )));
            }
        }
        match unsupported {
            Some(error) => Err(error),
            None => Ok(Self(tokens)),
        }
    }

    /// Prints a local time.
    pub(crate) fn format(&self, local: Moment) -> String {
        let (day, rest) = (
            local.micros.div_euclid(DAY_US),
            local.micros.rem_euclid(DAY_US),
        );
        let date = datetime::civil(day);
        let seconds = rest / 1_000_000;
        let mut out = String::new();
        for token in &self.0 {
            match token {
                Token::Literal(text) => out.push_str(text),
                Token::Field(letter, repeat) => {
                    let hour = seconds / 3600;
                    let number = match letter {
                        Letter::Year if *repeat == 2 => date.0.rem_euclid(100),
                        Letter::Year => date.0,
                        Letter::Month if *repeat >= 3 => {
                            out.push_str(name(&MONTHS, date.1 - 1, *repeat));
                            continue;
                        }
                        Letter::Month => date.1,
                        Letter::Day => date.2,
                        Letter::DayOfYear => day - datetime::days((date.0, 1, 1)) + 1,
                        Letter::Weekday => {
                            out.push_str(name(&WEEKDAYS, (day + 3).rem_euclid(7), *repeat));
                            continue;
                        }
                        Letter::Hour => hour,
                        Letter::HalfHour => (hour + 11) % 12 + 1,
                        Letter::HalfDay => {
                            out.push_str(if hour < 12 { "AM" } else { "PM" });
                            continue;
                        }
                        Letter::Minute => seconds / 60 % 60,
                        Letter::Second => seconds % 60,
                        Letter::Fraction => {
                            let digits = format!("{:06}{:03}", rest % 1_000_000, local.nanos);
                            out.push_str(&digits[..(*repeat).min(9)]);
                            continue;
                        }
                    };
                    if write!(out, "{number:0repeat$}").is_err() {
                        unreachable!("writing to a String does not fail");
                    }
                }
            }
        }
        out
    }

    /// Reads a local time; `None` when the text does not match.
    pub(crate) fn parse(&self, text: &str) -> Option<Moment> {
        let mut rest = text;
        let mut read = Fields::default();
        for (i, token) in self.0.iter().enumerate() {
            match token {
                Token::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Token::Field(letter, repeat) => {
                    let adjacent = matches!(self.0.get(i + 1), Some(Token::Field(..)));
                    rest = read.take(*letter, *repeat, adjacent, rest)?;
                }
            }
        }
        rest.is_empty().then(|| read.moment()).flatten()
    }
}

/// The text up to the closing quote; two quotes are one.
fn quoted(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    pattern: &str,
) -> Result<String> {
    if characters.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    while let Some(c) = characters.next() {
        if c != '\'' {
            text.push(c);
        } else if characters.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err(Error::arithmetic(format!(
        "the date pattern \"{pattern}\" has an open quote"
    )))
}

/// The meaning of a pattern letter.
fn letter(c: char, pattern: &str) -> Result<Letter> {
    Ok(match c {
        'y' | 'u' => Letter::Year,
        'M' | 'L' => Letter::Month,
        'd' => Letter::Day,
        'D' => Letter::DayOfYear,
        'E' => Letter::Weekday,
        'H' => Letter::Hour,
        'h' => Letter::HalfHour,
        'a' => Letter::HalfDay,
        'm' => Letter::Minute,
        's' => Letter::Second,
        'S' => Letter::Fraction,
        'G' | 'Q' | 'q' | 'Y' | 'w' | 'W' | 'e' | 'c' | 'F' | 'B' | 'K' | 'k' | 'A' | 'n' | 'N'
        | 'g' | 'V' | 'v' | 'z' | 'O' | 'X' | 'x' | 'Z' | 'p' => {
            return Err(Error::unsupported(format!(
                "letter {c} in the date pattern \"{pattern}\": y, M, d, D, E, H, h, a, m, s and S are known"
            )));
        }
        _ => {
            return Err(Error::arithmetic(format!(
                "the date pattern \"{pattern}\" has the unknown letter {c}"
            )));
        }
    })
}

/// A name, in full from four letters on.
fn name<'a>(names: &[&'a str], index: i64, repeat: usize) -> &'a str {
    let full = usize::try_from(index)
        .ok()
        .and_then(|i| names.get(i).copied());
    let full = full.unwrap_or_default();
    if repeat >= 4 {
        full
    } else {
        &full[..3.min(full.len())]
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Fields {
    /// Year.
    year: Option<i64>,
    /// Month.
    month: Option<i64>,
    /// Day of the month.
    day: Option<i64>,
    /// Hour of the day.
    hour: Option<i64>,
    /// Hour of the half day, 1 to 12.
    half_hour: Option<i64>,
    /// Whether it is the second half of the day.
    afternoon: bool,
    /// Minute.
    minute: i64,
    /// Second.
    second: i64,
    /// Nanoseconds of the second.
    fraction: i64,
}

impl Fields {
    /// Reads one field from the front of `text` and returns the rest.
    fn take<'a>(
        &mut self,
        letter: Letter,
        repeat: usize,
        adjacent: bool,
        text: &'a str,
    ) -> Option<&'a str> {
        if letter == Letter::HalfDay {
            let (half, rest) = text.split_at_checked(2)?;
            self.afternoon = half.eq_ignore_ascii_case("PM");
            return (self.afternoon || half.eq_ignore_ascii_case("AM")).then_some(rest);
        }
        if letter == Letter::Month && repeat >= 3 {
            let index = MONTHS
                .iter()
                .position(|full| text.starts_with(name(&[full], 0, repeat)))?;
            self.month = i64::try_from(index + 1).ok();
            return text.get(name(&MONTHS, i64::try_from(index).ok()?, repeat).len()..);
        }
        // One letter takes as many digits as there are; several letters take just as many.
        let limit = match (letter, repeat) {
            (_, 1) | (Letter::Year, 4) if !adjacent => 9,
            (_, repeat) => repeat,
        };
        let length = text
            .bytes()
            .take(limit)
            .take_while(u8::is_ascii_digit)
            .count();
        if length < repeat {
            return None;
        }
        let (digits, rest) = text.split_at_checked(length)?;
        let value: i64 = digits.parse().ok()?;
        match letter {
            Letter::Year => self.year = Some(if repeat == 2 { 2000 + value } else { value }),
            Letter::Month => self.month = Some(value),
            Letter::Day => self.day = Some(value),
            Letter::Hour => self.hour = Some(value),
            Letter::HalfHour => self.half_hour = Some(value),
            Letter::Minute => self.minute = value,
            Letter::Second => self.second = value,
            Letter::Fraction => self.fraction = datetime::parse_fraction(digits)?,
            Letter::DayOfYear | Letter::Weekday | Letter::HalfDay => return None,
        }
        Some(rest)
    }

    /// The local time; absent parts are those of 1970-01-01 00:00:00.
    fn moment(&self) -> Option<Moment> {
        let date = (
            self.year.unwrap_or(1970),
            self.month.unwrap_or(1),
            self.day.unwrap_or(1),
        );
        let day = datetime::checked_days(date)?;
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(half @ 1..=12)) => half % 12 + if self.afternoon { 12 } else { 0 },
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        Some(Moment {
            micros: day * DAY_US + seconds * 1_000_000 + self.fraction / 1000,
            nanos: self.fraction % 1000,
        })
    }
}
