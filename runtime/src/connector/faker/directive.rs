//! Directives with arguments, and the lookup of all directives.
//!
//! Place in the flow: expressions resolve each `#{...}` here once. Invariant: arguments are checked when a directive is resolved,
//! so evaluating one cannot fail.
//!
//! # Source
//! Java's Datafaker 2: names (case and underscores do not matter), arguments and bounds.

use chrono::DateTime;

use super::pattern::Pattern;
use super::random::RowRandom;
use super::words::{self, WORDS};
use crate::connector::generator::unit;
use crate::error::{Error, Result, unknown_name};

/// Most digits after the point: what a double holds.
const DECIMALS_MAX: usize = 15;

/// Most digits of a whole number that fits 64 bits.
const DIGITS_MAX: u32 = 18;

/// Milliseconds of a mean Gregorian year, for birthdays.
const YEAR_MS: i64 = 31_556_952_000;

/// Directives that take arguments.
const WITH_ARGUMENTS: &[&str] = &[
    "Number.numberBetween",
    "Number.randomDouble",
    "Number.randomNumber",
    "Number.randomDigit",
    "Number.randomDigitNotZero",
    "Number.digit",
    "Number.digits",
    "Number.positive",
    "Number.negative",
    "Options.option",
    "Commerce.price",
    "Date.past",
    "Date.future",
    "Date.birthday",
    "regexify",
    "numerify",
    "letterify",
    "bothify",
    "examplify",
];

/// Something to evaluate for each row.
#[derive(Debug, Clone)]
pub(super) enum Directive {
    /// A whole number.
    Integer {
        /// Least value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number with a fraction.
    Double {
        /// Most digits after the point.
        decimals: usize,
        /// Least value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// A price, always with two digits after the point.
    Price {
        /// Least value in hundredths.
        min: i64,
        /// Largest value in hundredths.
        max: i64,
    },
    /// One of some texts.
    Options(Vec<String>),
    /// Text that matches a pattern.
    Pattern(Pattern),
    /// Text with places for digits and letters.
    Mask(Vec<Place>),
    /// A moment as `2024-01-31 12:00:00.000`.
    Instant {
        /// Least distance from now, negative in the past.
        min_ms: i64,
        /// Largest distance from now.
        max_ms: i64,
    },
    /// Something from a list of words.
    Words(fn(&mut RowRandom) -> String),
}

/// A character of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// This character.
    Literal(char),
    /// One between both.
    Between(u8, u8),
}

/// What the letters of a mask stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// `#` and `Ø` are digits.
    Digits,
    /// `?` is a letter.
    Letters,
    /// Both.
    Both,
    /// Every digit and letter is an example of its kind.
    Example,
}

impl Directive {
    /// Appends the value of a row.
    pub(super) fn evaluate(&self, random: &mut RowRandom, now_ms: i64, out: &mut String) {
        match self {
            Self::Integer { min, max } => out.push_str(&random.between(*min, *max).to_string()),
            Self::Double { decimals, min, max } => {
                let value = min + unit(random.draw()) * (max - min);
                push_double(value, *decimals, out);
            }
            Self::Price { min, max } => {
                let value = random.between(*min, *max);
                let (whole, rest) = ((value / 100).to_string(), value % 100);
                out.extend([whole, format!(".{rest:02}")]);
            }
            Self::Options(options) => out.push_str(random.pick::<String>(options)),
            Self::Pattern(pattern) => pattern.generate(random, out),
            Self::Mask(places) => places.iter().for_each(|place| match place {
                Place::Literal(c) => out.push(*c),
                Place::Between(first, last) => {
                    let c = random.between(i64::from(*first), i64::from(*last));
                    out.push(char::from(u8::try_from(c).unwrap_or(*first)));
                }
            }),
            Self::Instant { min_ms, max_ms } => {
                push_instant(now_ms + random.between(*min_ms, *max_ms), out);
            }
            Self::Words(words) => out.push_str(&words(random)),
        }
    }
}

/// Appends a double with at most so many digits after the point and at least one, as Java prints it.
fn push_double(value: f64, decimals: usize, out: &mut String) {
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        None => {
            out.push_str(&text);
            out.push_str(".0");
        }
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            out.push_str(whole);
            out.push('.');
            out.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
    }
}

/// Appends a moment in UTC.
fn push_instant(epoch_ms: i64, out: &mut String) {
    let moment = DateTime::from_timestamp_millis(epoch_ms).unwrap_or_default();
    out.push_str(&moment.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
}

/// The directive of a name and its arguments.
///
/// # Errors
/// `Invalid` for names that do not exist, with the nearest, and for other arguments than the directive takes.
pub(super) fn resolve(name: &str, arguments: &[String]) -> Result<Directive> {
    let key = normalized(name);
    let arguments = Arguments { name, arguments };
    match key.as_str() {
        "number.numberbetween" => number_between(&arguments),
        "number.randomdouble" => random_double(&arguments),
        "number.randomnumber" => random_number(&arguments),
        "number.randomdigit" | "number.digit" => arguments.none(integer(0, 9)),
        "number.randomdigitnotzero" => arguments.none(integer(1, 9)),
        "number.positive" => arguments.none(integer(1, i64::from(i32::MAX))),
        "number.negative" => arguments.none(integer(i64::from(i32::MIN), -1)),
        "number.digits" => {
            let [count] = arguments.exactly(["count"])?;
            let count = arguments.number::<usize>(count)?;
            if count > 1000 {
                return Err(arguments.error("more than 1000 digits"));
            }
            Ok(mask(&"#".repeat(count), Mask::Digits))
        }
        "options.option" if arguments.arguments.is_empty() => {
            Err(arguments.error("takes at least one argument"))
        }
        "options.option" => Ok(Directive::Options(arguments.arguments.to_vec())),
        "commerce.price" => price(&arguments),
        "date.past" | "timeanddate.past" => instant(&arguments, Direction::Past),
        "date.future" | "timeanddate.future" => instant(&arguments, Direction::Future),
        "date.birthday" | "timeanddate.birthday" => birthday(&arguments),
        "regexify" => {
            let [pattern] = arguments.exactly(["pattern"])?;
            Ok(Directive::Pattern(Pattern::parse(pattern)?))
        }
        "numerify" => arguments.mask(Mask::Digits),
        "letterify" => arguments.mask(Mask::Letters),
        "bothify" => arguments.mask(Mask::Both),
        "examplify" => arguments.mask(Mask::Example),
        _ => {
            let known = WORDS.iter().find(|(known, _)| normalized(known) == key);
            let Some((_, words)) = known else {
                let names = WORDS.iter().map(|(name, _)| *name);
                let names = WITH_ARGUMENTS.iter().copied().chain(names);
                return Err(unknown_name("faker directive", name, names));
            };
            arguments.none(Directive::Words(*words))
        }
    }
}

/// A name without case and underscores.
fn normalized(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// A whole number between both.
fn integer(min: i64, max: i64) -> Directive {
    Directive::Integer { min, max }
}

/// The arguments of a directive.
#[derive(Debug)]
struct Arguments<'a> {
    /// The directive's name, for errors.
    name: &'a str,
    /// The arguments.
    arguments: &'a [String],
}

impl<'a> Arguments<'a> {
    /// An error that names the directive.
    fn error(&self, what: &str) -> Error {
        Error::option(format!("faker directive {}: {what}", self.name))
    }

    /// A directive that takes no arguments.
    fn none(&self, directive: Directive) -> Result<Directive> {
        match self.arguments {
            [] => Ok(directive),
            _ => Err(self.error("takes no arguments")),
        }
    }

    /// Exactly these arguments.
    fn exactly<const N: usize>(&self, names: [&str; N]) -> Result<&'a [String; N]> {
        self.arguments
            .try_into()
            .map_err(|_| self.error(&format!("takes '{}'", names.join("','"))))
    }

    /// An argument as a number.
    fn number<T: std::str::FromStr>(&self, text: &str) -> Result<T> {
        text.trim()
            .parse()
            .map_err(|_| self.error(&format!("'{text}' is not a number it takes")))
    }

    /// A directive that takes a mask.
    fn mask(&self, kind: Mask) -> Result<Directive> {
        let [text] = self.exactly(["mask"])?;
        Ok(mask(text, kind))
    }
}

/// A mask as places.
fn mask(text: &str, kind: Mask) -> Directive {
    let place = |c: char| match (kind, c) {
        (Mask::Digits | Mask::Both, '#') | (Mask::Example, '0'..='9') => Place::Between(b'0', b'9'),
        (Mask::Digits | Mask::Both, 'Ø') => Place::Between(b'1', b'9'),
        (Mask::Letters | Mask::Both, '?') | (Mask::Example, 'a'..='z') => {
            Place::Between(b'a', b'z')
        }
        (Mask::Example, 'A'..='Z') => Place::Between(b'A', b'Z'),
        (Mask::Digits | Mask::Letters | Mask::Both | Mask::Example, other) => Place::Literal(other),
    };
    Directive::Mask(text.chars().map(place).collect())
}

/// `Number.numberBetween`: the upper bound is not reached unless both are equal, and the order does not matter.
fn number_between(arguments: &Arguments<'_>) -> Result<Directive> {
    let [a, b] = arguments.exactly(["min", "max"])?;
    let (a, b) = (arguments.number::<i64>(a)?, arguments.number::<i64>(b)?);
    let (min, max) = (a.min(b), a.max(b));
    Ok(integer(min, if min == max { max } else { max - 1 }))
}

/// `Number.randomDouble`.
fn random_double(arguments: &Arguments<'_>) -> Result<Directive> {
    let [decimals, a, b] = arguments.exactly(["decimals", "min", "max"])?;
    let decimals = arguments.number::<usize>(decimals)?;
    let (a, b) = (arguments.number::<f64>(a)?, arguments.number::<f64>(b)?);
    if decimals > DECIMALS_MAX {
        return Err(arguments.error(&format!("more than {DECIMALS_MAX} decimals")));
    }
    if !(a.is_finite() && b.is_finite() && (a - b).is_finite()) {
        return Err(arguments.error("bounds that are not finite"));
    }
    Ok(Directive::Double {
        decimals,
        min: a.min(b),
        max: a.max(b),
    })
}

/// `Number.randomNumber`: any, or of at most (strictly: exactly) so many digits.
fn random_number(arguments: &Arguments<'_>) -> Result<Directive> {
    if arguments.arguments.is_empty() {
        return Ok(Directive::Words(words::random_number));
    }
    let [digits, strict] = arguments.exactly(["digits", "strict"])?;
    let digits = arguments.number::<u32>(digits)?;
    if !(1..=DIGITS_MAX).contains(&digits) {
        return Err(arguments.error(&format!("takes 1 to {DIGITS_MAX} digits")));
    }
    let min = match strict.trim() {
        "true" => 10_i64.pow(digits - 1),
        "false" => 0,
        other => return Err(arguments.error(&format!("'{other}' is not true or false"))),
    };
    Ok(integer(min, 10_i64.pow(digits) - 1))
}

/// `Commerce.price`, from 0 to 100 unless bounds are given.
fn price(arguments: &Arguments<'_>) -> Result<Directive> {
    let (a, b) = if arguments.arguments.is_empty() {
        (0.0, 100.0)
    } else {
        let [a, b] = arguments.exactly(["min", "max"])?;
        (arguments.number::<f64>(a)?, arguments.number::<f64>(b)?)
    };
    // A trillion: hundredths of it are exact in a double.
    let allowed = 0.0..=1e12;
    if !(allowed.contains(&a) && allowed.contains(&b)) {
        return Err(arguments.error("prices are 0 to 1000000000000"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked; fractions of a hundredth are cut"
    )]
    let hundredths = |value: f64| (value * 100.0).round() as i64;
    Ok(Directive::Price {
        min: hundredths(a.min(b)),
        max: hundredths(a.max(b)),
    })
}

/// Where a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// Before now.
    Past,
    /// After now.
    Future,
}

/// `Date.past` and `Date.future`: at most, at least, unit.
fn instant(arguments: &Arguments<'_>, direction: Direction) -> Result<Directive> {
    let (at_most, at_least, unit) = match arguments.arguments {
        [at_most, unit] => (at_most, "0", unit),
        [at_most, at_least, unit] => (at_most, at_least.as_str(), unit),
        _ => return Err(arguments.error("takes 'most','UNIT' or 'most','least','UNIT'")),
    };
    let nanos: i128 = match unit.trim().to_ascii_uppercase().as_str() {
        "NANOSECONDS" => 1,
        "MICROSECONDS" => 1000,
        "MILLISECONDS" => 1_000_000,
        "SECONDS" => 1_000_000_000,
        "MINUTES" => 60_000_000_000,
        "HOURS" => 3_600_000_000_000,
        "DAYS" => 86_400_000_000_000,
        other => {
            return Err(arguments.error(&format!(
                "unit '{other}' is not one of NANOSECONDS, MICROSECONDS, MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS"
            )));
        }
    };
    let millis = |text: &str| -> Result<i64> {
        // Datafaker takes 32-bit numbers, which keeps every product in range.
        let number = arguments.number::<i32>(text)?;
        let millis = i128::from(number) * nanos / 1_000_000;
        i64::try_from(millis).map_err(|_| arguments.error("a time that is too far away"))
    };
    let (least, most) = (millis(at_least)?, millis(at_most)?);
    if least < 0 || least > most {
        return Err(arguments.error(&format!("'{at_least}' to '{at_most}' is no span of time")));
    }
    // Never now itself, unless the span has no room for more.
    let least = (least + 1).min(most);
    Ok(match direction {
        Direction::Past => Directive::Instant {
            min_ms: -most,
            max_ms: -least,
        },
        Direction::Future => Directive::Instant {
            min_ms: least,
            max_ms: most,
        },
    })
}

/// `Date.birthday`: of people of 18 to 65 years unless ages are given.
fn birthday(arguments: &Arguments<'_>) -> Result<Directive> {
    let (min, max) = if arguments.arguments.is_empty() {
        (18, 65)
    } else {
        let [min, max] = arguments.exactly(["min age", "max age"])?;
        (arguments.number::<u8>(min)?, arguments.number::<u8>(max)?)
    };
    Ok(Directive::Instant {
        min_ms: -YEAR_MS * i64::from(min.max(max)),
        max_ms: -YEAR_MS * i64::from(min.min(max)),
    })
}
