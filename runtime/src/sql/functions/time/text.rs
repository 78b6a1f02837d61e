//! Functions between times and text.
//!
//! Place in the flow: rows of the function table. Invariant: a pattern is compiled once for the rows that share it.

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;

use super::super::rules::count;
use super::super::{Function, Output, Param, Resolve, Volatility, any_nullable, call, mismatch};
use super::{SECOND_US, is_dated, local_time};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, DAY_US, Moment};
use crate::sql::eval::pattern::Pattern;
use crate::sql::eval::zone::Zone;
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Functions between times and text.
pub(super) fn functions() -> Vec<Function> {
    let one_or_two: &[&[Param]] = &[&[Param::Text], &[Param::Text, Param::Text]];
    vec![
        Function::new(
            "TO_TIMESTAMP",
            Resolve::Signature(one_or_two, Output::MaybeTimestamp),
            |call| {
                let local = read_leniently(call)?;
                Ok(datetime::timestamps(local.into_iter(), 3))
            },
        ),
        Function::new(
            "TO_DATE",
            Resolve::Signature(one_or_two, Output::MaybeDate),
            |call| {
                let date = |text: &str| Some((datetime::parse_date(text)? * DAY_US).into());
                let days = read(call, date)?
                    .into_iter()
                    .map(|v| v.and_then(|v| i32::try_from(v.micros.div_euclid(DAY_US)).ok()));
                Ok(datetime::dates(days))
            },
        ),
        Function::new("DATE_FORMAT", Resolve::Custom(format_type), format).failing(),
        Function::new(
            "FROM_UNIXTIME",
            Resolve::Signature(
                &[&[Param::Long], &[Param::Long, Param::Text]],
                Output::MaybeText,
            ),
            from_unixtime,
        )
        .failing(),
        Function::new(
            "UNIX_TIMESTAMP",
            Resolve::Signature(
                &[&[], &[Param::Text], &[Param::Text, Param::Text]],
                Output::Long,
            ),
            unix_timestamp,
        )
        .volatile(Volatility::Batch),
        Function::new(
            "CONVERT_TZ",
            Resolve::Signature(
                &[&[Param::Text, Param::Text, Param::Text]],
                Output::MaybeText,
            ),
            convert_zone,
        )
        .failing(),
    ]
}

/// The pattern of texts without one.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// Reads the first argument with the pattern of the second, or with `default`.
fn read(call: &Call<'_>, default: fn(&str) -> Option<Moment>) -> Result<Vec<Option<Moment>>> {
    let text = call.text(0)?;
    if call.args.len() == 1 {
        return Ok((0..call.rows)
            .map(|i| text.get(i).and_then(default))
            .collect());
    }
    let pattern = call.text(1)?;
    let mut patterns = Patterns::default();
    (0..call.rows)
        .map(|i| match text.get(i).zip(pattern.get(i)) {
            Some((text, pattern)) => Ok(patterns.get(pattern)?.parse(text)),
            None => Ok(None),
        })
        .collect()
}

/// Reads timestamps; as in Flink, a text that does not fit its pattern is read without it.
pub(super) fn read_leniently(call: &Call<'_>) -> Result<Vec<Option<Moment>>> {
    let mut read = read(call, datetime::parse_timestamp)?;
    if call.args.len() > 1 {
        let (text, pattern) = (call.text(0)?, call.text(1)?);
        for (i, read) in read.iter_mut().enumerate() {
            if read.is_none() && pattern.get(i).is_some() {
                *read = text
                    .get(i)
                    .map(str::trim)
                    .and_then(datetime::parse_timestamp);
            }
        }
    }
    Ok(read)
}

/// The last pattern compiled.
#[derive(Debug, Default)]
struct Patterns(Option<(String, Pattern)>);

impl Patterns {
    /// The compiled pattern.
    fn get(&mut self, text: &str) -> Result<&Pattern> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            self.0 = Some((text.to_owned(), Pattern::compile(text)?));
        }
        let compiled = self.0.as_ref().map(|(_, pattern)| pattern);
        compiled.ok_or_else(|| Error::internal("a pattern was compiled"))
    }
}

/// `DATE_FORMAT` of a timestamp, date or text.
fn format_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let kind = &args[0].ty.kind;
    let fits = is_dated(kind) || kind.is_character() || *kind == TypeKind::Null;
    let is_text = |kind: &TypeKind| kind.is_character() || *kind == TypeKind::Null;
    if !fits || !is_text(&args[1].ty.kind) {
        return Err(mismatch(name, &args, "(TIMESTAMP or STRING, STRING)"));
    }
    let may_fail_to_read = kind.is_character();
    let args: Vec<Expr> = args
        .into_iter()
        .map(|arg| {
            if arg.ty.kind == TypeKind::Null {
                convert(arg, &TypeKind::string())
            } else {
                arg
            }
        })
        .collect();
    let nullable = may_fail_to_read || any_nullable(&args);
    Ok(call(
        name,
        args,
        TypeKind::string().nullable().with_nullable(nullable),
        span,
    ))
}

/// `DATE_FORMAT`.
fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let (kind, pattern) = (&call.types[0].kind, call.text(1)?);
    let text = if kind.is_character() {
        Some(call.text(0)?)
    } else {
        None
    };
    let mut patterns = Patterns::default();
    call.texts(|i| {
        let local = match &text {
            Some(text) => text.get(i).and_then(datetime::parse_timestamp),
            None => local_time(call.value(0)?, kind, i, call.zone)?,
        };
        let Some((local, pattern)) = local.zip(pattern.get(i)) else {
            return Ok(None);
        };
        Ok(Some(patterns.get(pattern)?.format(local)))
    })
}

/// `FROM_UNIXTIME`: seconds as text in the session time zone.
fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.long(0)?;
    let pattern = if call.args.len() > 1 {
        Some(call.text(1)?)
    } else {
        None
    };
    let mut patterns = Patterns::default();
    call.texts(|i| {
        let pattern = pattern.as_ref().map_or(Some(DEFAULT_PATTERN), |p| p.get(i));
        let Some((seconds, pattern)) = seconds.get(i).zip(pattern) else {
            return Ok(None);
        };
        let Some(micros) = seconds.checked_mul(SECOND_US) else {
            return Ok(None);
        };
        let local = datetime::to_local(micros.into(), call.zone);
        Ok(Some(patterns.get(pattern)?.format(local)))
    })
}

/// `CONVERT_TZ`: a text without zone from one zone to another.
fn convert_zone(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let pattern = Pattern::compile(DEFAULT_PATTERN)?;
    call.texts(|i| {
        let zones = from.get(i).zip(to.get(i));
        let Some((local, (from, to))) = text.get(i).and_then(datetime::parse_timestamp).zip(zones)
        else {
            return Ok(None);
        };
        let instant = datetime::to_instant(local, &Zone::parse(from)?);
        Ok(Some(
            pattern.format(datetime::to_local(instant, &Zone::parse(to)?)),
        ))
    })
}

/// `UNIX_TIMESTAMP`: seconds now, or of a text in the session time zone; a text that does not match gives the smallest BIGINT.
fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.is_empty() {
        let now = call.context.now_ms.div_euclid(1000);
        return call.primitives::<Int64Type>(|_| Ok(Some(now)));
    }
    let local = read(call, datetime::parse_timestamp)?;
    let is_null = |i: usize| -> Result<bool> {
        for arg in 0..call.args.len() {
            if call.text(arg)?.is_null(i) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    call.primitives::<Int64Type>(|i| {
        if is_null(i)? {
            return Ok(None);
        }
        Ok(Some(local[i].map_or(i64::MIN, |local| {
            let instant = datetime::to_instant(local, call.zone);
            instant.micros.div_euclid(SECOND_US)
        })))
    })
}
