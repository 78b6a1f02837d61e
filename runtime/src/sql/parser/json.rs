//! JSON functions with clauses.
//!
//! Place in the flow: the dialect's hook for expressions comes here. Each call leaves as one of the same name whose clauses are
//! string literals at fixed places, which the function table checks. Invariant: a clause that is not written is there with
//! Flink's default.

use sqlparser::ast::{Expr, ObjectNamePart, Value};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::fail;
use super::types::parse_type;
use super::words::{eat, eat_all, expect, peek};
use crate::error::Code;
use crate::sql::dialect::call;
use crate::sql::functions::json::{ABSENT_ON_NULL, JSON_VALUE_OF_CONSTRUCTOR, NULL_ON_NULL};

/// Reads what stands between the parentheses of a call.
type Arguments = fn(&mut Parser) -> Result<Vec<Expr>, ParserError>;

/// The functions that have a grammar of their own.
const FUNCTIONS: [(&str, Arguments); 5] = [
    ("JSON_EXISTS", exists),
    ("JSON_VALUE", value),
    ("JSON_QUERY", query),
    ("JSON_OBJECT", object),
    ("JSON_ARRAY", array),
];

/// Parses a call of a JSON function that has a grammar of its own; absent for anything else.
pub(crate) fn parse_json_call(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    if parser.peek_nth_token_ref(1).token != Token::LParen {
        return None;
    }
    let (name, arguments) = FUNCTIONS
        .into_iter()
        .find(|(name, _)| peek(parser, 0, name))?;
    let start = parser.next_token().span;
    parser.advance_token();
    let arguments = arguments(parser).and_then(|arguments| {
        let end = parser.expect_token(&Token::RParen)?.span;
        Ok(call(name, start.union(&end), arguments))
    });
    Some(arguments)
}

/// A clause as an argument.
fn clause(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// Parses `document, path`.
fn document_and_path(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let document = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![document, parser.parse_expr()?])
}

/// Parses `[RETURNING type]` to the type's JSON; empty without the clause.
fn returning(parser: &mut Parser) -> Result<Expr, ParserError> {
    if !eat(parser, "RETURNING") {
        return Ok(clause(""));
    }
    let ty = parse_type(parser)?;
    let json = serde_json::to_string(&ty)
        .map_err(|error| ParserError::ParserError(format!("type {ty}: {error}")))?;
    Ok(clause(&json))
}

/// Parses the arguments of `JSON_EXISTS`.
fn exists(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = document_and_path(parser)?;
    let written = ["TRUE", "FALSE", "UNKNOWN", "ERROR"]
        .into_iter()
        .find(|word| eat_all(parser, &[word, "ON", "ERROR"]));
    arguments.push(clause(written.unwrap_or("FALSE")));
    Ok(arguments)
}

/// What a clause says, and for `DEFAULT` the value.
type Behavior = (&'static str, Expr);

/// The behaviors on empty and on error.
#[derive(Default)]
struct Behaviors {
    /// `... ON EMPTY`.
    on_empty: Option<Behavior>,
    /// `... ON ERROR`.
    on_error: Option<Behavior>,
}

impl Behaviors {
    /// Parses clauses as long as `behavior` finds any.
    fn parse(
        parser: &mut Parser,
        behavior: fn(&mut Parser) -> Result<Option<Behavior>, ParserError>,
    ) -> Result<Self, ParserError> {
        let mut found = Self::default();
        while let Some(behavior) = behavior(parser)? {
            expect(parser, &["ON"])?;
            let token = parser.peek_token();
            let place = if eat(parser, "EMPTY") {
                &mut found.on_empty
            } else if eat(parser, "ERROR") {
                &mut found.on_error
            } else {
                return parser.expected("EMPTY or ERROR", token);
            };
            if place.replace(behavior).is_some() {
                return fail(Code::Syntax, "the clause is written twice", token.span);
            }
        }
        Ok(found)
    }

    /// Both behaviors, NULL when they are not written.
    fn into_both(self) -> [Behavior; 2] {
        let or_null = |found: Option<Behavior>| found.unwrap_or(("NULL", Expr::value(Value::Null)));
        [or_null(self.on_empty), or_null(self.on_error)]
    }
}

/// Parses the arguments of `JSON_VALUE`.
fn value(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = document_and_path(parser)?;
    arguments.push(returning(parser)?);
    let behaviors = Behaviors::parse(parser, |parser| {
        let null = || Expr::value(Value::Null);
        Ok(if eat(parser, "NULL") {
            Some(("NULL", null()))
        } else if eat(parser, "ERROR") {
            Some(("ERROR", null()))
        } else if eat(parser, "DEFAULT") {
            Some(("DEFAULT", parser.parse_expr()?))
        } else {
            None
        })
    })?;
    for (word, default) in behaviors.into_both() {
        arguments.extend([clause(word), default]);
    }
    Ok(arguments)
}

/// Parses the arguments of `JSON_QUERY`.
fn query(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = document_and_path(parser)?;
    arguments.push(returning(parser)?);
    arguments.push(clause(wrapper(parser)?));
    let behaviors = Behaviors::parse(parser, |parser| {
        let word = if eat(parser, "NULL") {
            "NULL"
        } else if eat(parser, "ERROR") {
            "ERROR"
        } else if eat_all(parser, &["EMPTY", "ARRAY"]) {
            "EMPTY ARRAY"
        } else if eat_all(parser, &["EMPTY", "OBJECT"]) {
            "EMPTY OBJECT"
        } else {
            return Ok(None);
        };
        Ok(Some((word, Expr::value(Value::Null))))
    })?;
    arguments.extend(behaviors.into_both().map(|(word, _)| clause(word)));
    Ok(arguments)
}

/// Parses `[WITHOUT [ARRAY] WRAPPER | WITH [CONDITIONAL | UNCONDITIONAL] [ARRAY] WRAPPER]`.
fn wrapper(parser: &mut Parser) -> Result<&'static str, ParserError> {
    let wrapper = if eat(parser, "WITHOUT") {
        "WITHOUT"
    } else if eat(parser, "WITH") {
        let is_conditional = eat(parser, "CONDITIONAL");
        if !is_conditional {
            eat(parser, "UNCONDITIONAL");
        }
        if is_conditional {
            "CONDITIONAL"
        } else {
            "UNCONDITIONAL"
        }
    } else {
        return Ok("WITHOUT");
    };
    eat(parser, "ARRAY");
    expect(parser, &["WRAPPER"])?;
    Ok(wrapper)
}

/// Whether `NULL ON NULL`, `ABSENT ON NULL` or the end of the arguments is next.
fn at_end(parser: &Parser) -> bool {
    let clause = |word| peek(parser, 0, word) && peek(parser, 1, "ON") && peek(parser, 2, "NULL");
    parser.peek_token_ref().token == Token::RParen || clause("NULL") || clause("ABSENT")
}

/// Parses `[NULL ON NULL | ABSENT ON NULL]`.
fn on_null(parser: &mut Parser, default: &str) -> Expr {
    if eat_all(parser, &["NULL", "ON", "NULL"]) {
        clause(NULL_ON_NULL)
    } else if eat_all(parser, &["ABSENT", "ON", "NULL"]) {
        clause(ABSENT_ON_NULL)
    } else {
        clause(default)
    }
}

/// A value of a constructor: `JSON(...)` gets a name that is known only here.
fn constructor_value(mut value: Expr) -> Expr {
    let mut inner = &mut value;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    if let Expr::Function(function) = inner
        && let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice()
        && name.quote_style.is_none()
        && name.value.eq_ignore_ascii_case("JSON")
    {
        JSON_VALUE_OF_CONSTRUCTOR.clone_into(&mut name.value);
    }
    value
}

/// Parses the arguments of `JSON_OBJECT`.
fn object(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let mut members = Vec::new();
    while !at_end(parser) {
        if !members.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        let is_column = match &parser.peek_nth_token_ref(1).token {
            Token::Colon | Token::Period | Token::LParen => true,
            _ => peek(parser, 1, "VALUE"),
        };
        if !is_column {
            eat(parser, "KEY");
        }
        members.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Colon) {
            expect(parser, &["VALUE"])?;
        }
        members.push(constructor_value(parser.parse_expr()?));
    }
    Ok(std::iter::once(on_null(parser, NULL_ON_NULL))
        .chain(members)
        .collect())
}

/// Parses the arguments of `JSON_ARRAY`.
fn array(parser: &mut Parser) -> Result<Vec<Expr>, ParserError> {
    let mut elements = Vec::new();
    while !at_end(parser) {
        if !elements.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        elements.push(constructor_value(parser.parse_expr()?));
    }
    Ok(std::iter::once(on_null(parser, ABSENT_ON_NULL))
        .chain(elements)
        .collect())
}
