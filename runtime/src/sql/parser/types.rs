//! Flink's types.
//!
//! Place in the flow: columns of CREATE TABLE and the targets of CAST. Invariant: a type that cannot be stored is refused
//! here, where its place is known.

use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::fail;
use super::words::{eat, eat_all, peek};
use crate::error::{Code, unknown_name};
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind};

/// How deeply types may nest.
///
/// # Source
/// A guess, unmeasured; Arrow and serde recurse over types.
const DEPTH_MAX: usize = 20;

/// Names of types, for suggestions.
const NAMES: [&str; 29] = [
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BITMAP",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "CHARACTER",
    "DATE",
    "DEC",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "NUMERIC",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
    "VARIANT",
];

/// Parses a type with `NOT NULL`.
///
/// # Errors
/// A syntax error with its place, also for types that Flink has and Weir cannot store.
pub(crate) fn parse_type(parser: &mut Parser) -> Result<FlinkType, ParserError> {
    parse_nested(parser, 0)
}

/// Parses a type at a depth.
fn parse_nested(parser: &mut Parser, depth: usize) -> Result<FlinkType, ParserError> {
    let start = parser.peek_token();
    if depth > DEPTH_MAX {
        return fail(
            Code::Unsupported,
            &format!("types nested deeper than {DEPTH_MAX}"),
            start.span,
        );
    }
    let kind = parse_kind(parser, depth)?;
    let mut ty = kind.with_nullability(parse_nullability(parser));
    loop {
        let kind = if eat(parser, "ARRAY") {
            TypeKind::Array(Box::new(ty))
        } else if eat(parser, "MULTISET") {
            TypeKind::Multiset(Box::new(ty))
        } else {
            break;
        };
        ty = kind.with_nullability(parse_nullability(parser));
    }
    match ty.to_arrow() {
        Ok(_) => Ok(ty),
        Err(error) => fail(error.code, &error.message, start.span),
    }
}

/// Adds nullability to a type without it.
trait WithNullability {
    /// The type with this nullability.
    fn with_nullability(self, nullable: bool) -> FlinkType;
}

impl WithNullability for TypeKind {
    fn with_nullability(self, nullable: bool) -> FlinkType {
        if nullable {
            self.nullable()
        } else {
            self.not_null()
        }
    }
}

/// Whether a type may be NULL: `NOT NULL` says no, `NULL` and nothing say yes.
fn parse_nullability(parser: &mut Parser) -> bool {
    if eat_all(parser, &["NOT", "NULL"]) {
        return false;
    }
    // `RETURNING INT NULL ON EMPTY`: the word belongs to the clause.
    if !peek(parser, 1, "ON") {
        eat(parser, "NULL");
    }
    true
}

/// Parses a type without nullability.
fn parse_kind(parser: &mut Parser, depth: usize) -> Result<TypeKind, ParserError> {
    let token = parser.next_token();
    let Token::Word(word) = &token.token else {
        return parser.expected("a type", token);
    };
    let name = word.value.to_uppercase();
    Ok(match name.as_str() {
        "BOOLEAN" => TypeKind::Boolean,
        "TINYINT" => TypeKind::TinyInt,
        "SMALLINT" => TypeKind::SmallInt,
        "INT" | "INTEGER" => TypeKind::Int,
        "BIGINT" => TypeKind::BigInt,
        "FLOAT" => TypeKind::Float,
        "DOUBLE" => {
            eat(parser, "PRECISION");
            TypeKind::Double
        }
        "DECIMAL" | "DEC" | "NUMERIC" => parse_decimal(parser)?,
        "STRING" => TypeKind::string(),
        "BYTES" => TypeKind::bytes(),
        "CHAR" | "CHARACTER" if eat(parser, "VARYING") => {
            TypeKind::VarChar(parse_length(parser, MAX_LENGTH)?)
        }
        "CHAR" | "CHARACTER" => TypeKind::Char(parse_length(parser, 1)?),
        "VARCHAR" => TypeKind::VarChar(parse_length(parser, MAX_LENGTH)?),
        "BINARY" if eat(parser, "VARYING") => {
            TypeKind::VarBinary(parse_length(parser, MAX_LENGTH)?)
        }
        "BINARY" => TypeKind::Binary(parse_length(parser, 1)?),
        "VARBINARY" => TypeKind::VarBinary(parse_length(parser, MAX_LENGTH)?),
        "BITMAP" => TypeKind::Bitmap,
        "DATE" => TypeKind::Date,
        "TIME" => parse_time(parser)?,
        "TIMESTAMP" => parse_timestamp(parser)?,
        "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(parse_precision(parser, 6)?),
        "INTERVAL" => parse_interval(parser)?,
        "ARRAY" => TypeKind::Array(Box::new(parse_element(parser, depth)?)),
        "MULTISET" => TypeKind::Multiset(Box::new(parse_element(parser, depth)?)),
        "MAP" => {
            parser.expect_token(&Token::Lt)?;
            let key = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            TypeKind::Map(Box::new(key), Box::new(value))
        }
        "ROW" => parse_row(parser, depth)?,
        "VARIANT" => TypeKind::Variant,
        "RAW" | "STRUCTURED" | "DESCRIPTOR" => {
            return fail(Code::Unsupported, &format!("type {name}"), token.span);
        }
        _ => {
            let error = unknown_name("type", &word.value, NAMES);
            return fail(error.code, &error.message, token.span);
        }
    })
}

/// Parses `<t>`.
fn parse_element(parser: &mut Parser, depth: usize) -> Result<FlinkType, ParserError> {
    parser.expect_token(&Token::Lt)?;
    let element = parse_nested(parser, depth + 1)?;
    parser.expect_token(&Token::Gt)?;
    Ok(element)
}

/// Parses `<a t, b t>` and `(a t, b t)` with optional comments.
fn parse_row(parser: &mut Parser, depth: usize) -> Result<TypeKind, ParserError> {
    let close = if parser.consume_token(&Token::LParen) {
        Token::RParen
    } else {
        parser.expect_token(&Token::Lt)?;
        Token::Gt
    };
    let mut fields: Vec<RowField> = Vec::new();
    loop {
        let name = parser.parse_identifier()?;
        if fields.iter().any(|field| field.name == name.value) {
            let message = format!("field `{}` is declared twice", name.value);
            return fail(Code::Validation, &message, name.span);
        }
        let ty = parse_nested(parser, depth + 1)?;
        if matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
            parser.advance_token();
        }
        fields.push(RowField {
            name: name.value,
            ty,
        });
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&close)?;
    Ok(TypeKind::Row(fields))
}

/// Parses an unsigned number in a range.
fn parse_number(parser: &mut Parser, low: u32, high: u32) -> Result<u32, ParserError> {
    let token = parser.next_token();
    let Token::Number(text, false) = &token.token else {
        return parser.expected("a number", token);
    };
    match text.parse::<u32>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => fail(
            Code::Validation,
            &format!("{text} is not between {low} and {high}"),
            token.span,
        ),
    }
}

/// Parses `(n)`.
///
/// # Source
/// The default in SQL text is that of `FlinkTypeSystem`: 1 for fixed lengths, the longest for others.
fn parse_length(parser: &mut Parser, default: u32) -> Result<u32, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(default);
    }
    let length = parse_number(parser, 1, MAX_LENGTH)?;
    parser.expect_token(&Token::RParen)?;
    Ok(length)
}

/// Parses `(p)` with fractional digits from 0 to 9.
fn parse_precision(parser: &mut Parser, default: u8) -> Result<u8, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(default);
    }
    let precision = parse_number(parser, 0, 9)?;
    parser.expect_token(&Token::RParen)?;
    Ok(u8::try_from(precision).unwrap_or(default))
}

/// Parses `(precision, scale)`; Flink's default is (10, 0).
fn parse_decimal(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let (mut precision, mut scale) = (10, 0);
    if parser.consume_token(&Token::LParen) {
        precision = parse_number(parser, 1, 38)?;
        if parser.consume_token(&Token::Comma) {
            scale = parse_number(parser, 0, precision)?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    let small = |number: u32| u8::try_from(number).unwrap_or(38);
    Ok(TypeKind::Decimal {
        precision: small(precision),
        scale: small(scale),
    })
}

/// Parses what follows TIME.
fn parse_time(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let precision = parse_precision(parser, 0)?;
    if eat(parser, "WITHOUT") {
        eat_all(parser, &["TIME", "ZONE"]);
    }
    Ok(TypeKind::Time(precision))
}

/// Parses what follows TIMESTAMP; Flink's default precision is 6.
fn parse_timestamp(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let precision = parse_precision(parser, 6)?;
    if eat_all(parser, &["WITH", "LOCAL", "TIME", "ZONE"]) {
        return Ok(TypeKind::TimestampLtz(precision));
    }
    if peek(parser, 0, "WITH") && peek(parser, 1, "TIME") {
        let message =
            "TIMESTAMP WITH TIME ZONE: Flink has no values of this type, use TIMESTAMP_LTZ";
        return fail(Code::Unsupported, message, parser.peek_token().span);
    }
    eat_all(parser, &["WITHOUT", "TIME", "ZONE"]);
    Ok(TypeKind::Timestamp(precision))
}

/// Parses what follows INTERVAL in a type: `unit[(p)] [TO unit[(p)]]`.
fn parse_interval(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let first = parse_unit(parser)?;
    if parser.parse_keyword(Keyword::TO) {
        let last = parse_unit(parser)?;
        if last != first {
            return parser.expected(
                "a unit of the same kind",
                parser.get_current_token().clone(),
            );
        }
    }
    Ok(first)
}

/// Parses a unit of an interval type with its precision.
fn parse_unit(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let token = parser.next_token();
    let kind = match &token.token {
        Token::Word(word) => match word.value.to_uppercase().as_str() {
            "YEAR" | "MONTH" => TypeKind::IntervalYearMonth,
            "DAY" | "HOUR" | "MINUTE" | "SECOND" => TypeKind::IntervalDayTime,
            _ => return parser.expected("a unit of time", token),
        },
        _ => return parser.expected("a unit of time", token),
    };
    if parser.consume_token(&Token::LParen) {
        parse_number(parser, 0, 10)?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(kind)
}
