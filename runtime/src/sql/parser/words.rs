//! Small steps over the tokens.
//!
//! Place in the flow: Flink's own statements are parsed with these, word by word. Invariant: a quoted identifier is never
//! taken for a keyword.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::span_of;
use crate::sql::ast::{Ident, Literal, Name};

/// Whether the token `ahead` tokens from here is this keyword.
pub(super) fn peek(parser: &Parser, ahead: usize, keyword: &str) -> bool {
    match &parser.peek_nth_token_ref(ahead).token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword),
        _ => false,
    }
}

/// Takes a keyword if it is next.
pub(super) fn eat(parser: &mut Parser, keyword: &str) -> bool {
    let found = peek(parser, 0, keyword);
    if found {
        parser.advance_token();
    }
    found
}

/// Takes keywords if all of them are next.
pub(super) fn eat_all(parser: &mut Parser, keywords: &[&str]) -> bool {
    let found = keywords
        .iter()
        .enumerate()
        .all(|(ahead, keyword)| peek(parser, ahead, keyword));
    if found {
        for _ in keywords {
            parser.advance_token();
        }
    }
    found
}

/// Takes keywords that must come next.
pub(super) fn expect(parser: &mut Parser, keywords: &[&str]) -> Result<(), ParserError> {
    for keyword in keywords {
        if !eat(parser, keyword) {
            return parser.expected(keyword, parser.peek_token());
        }
    }
    Ok(())
}

/// Parses `IF NOT EXISTS`.
pub(super) fn if_not_exists(parser: &mut Parser) -> bool {
    eat_all(parser, &["IF", "NOT", "EXISTS"])
}

/// Parses `IF EXISTS`.
pub(super) fn if_exists(parser: &mut Parser) -> bool {
    eat_all(parser, &["IF", "EXISTS"])
}

/// Parses an identifier.
pub(super) fn ident(parser: &mut Parser) -> Result<Ident, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::Word(word) => Ok(Ident {
            value: word.value,
            span: span_of(token.span),
        }),
        _ => parser.expected("an identifier", token),
    }
}

/// Parses a name of up to three parts.
pub(super) fn name(parser: &mut Parser) -> Result<Name, ParserError> {
    let mut parts = vec![ident(parser)?];
    while parser.consume_token(&Token::Period) {
        parts.push(ident(parser)?);
    }
    if parts.len() > 3 {
        return parser.expected("catalog.database.name", parser.get_current_token().clone());
    }
    Ok(Name { parts })
}

/// Parses a string literal.
pub(super) fn string(parser: &mut Parser) -> Result<Literal, ParserError> {
    let TokenWithSpan { token, span } = parser.next_token();
    match token {
        Token::SingleQuotedString(value) => Ok(Literal {
            value,
            span: span_of(span),
        }),
        token => parser.expected("a string in single quotes", TokenWithSpan { token, span }),
    }
}

/// Parses an unsigned number.
pub(super) fn number(parser: &mut Parser) -> Result<u32, ParserError> {
    let token = parser.next_token();
    if let Token::Number(text, false) = &token.token
        && let Ok(number) = text.parse()
    {
        return Ok(number);
    }
    parser.expected("a whole number", token)
}

/// Parses `(item, item, ...)` with at least one item.
pub(super) fn list<T>(
    parser: &mut Parser,
    item: impl Fn(&mut Parser) -> Result<T, ParserError>,
) -> Result<Vec<T>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut items = vec![item(parser)?];
    while parser.consume_token(&Token::Comma) {
        items.push(item(parser)?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(items)
}
