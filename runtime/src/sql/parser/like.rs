//! `LIKE` in CREATE TABLE.
//!
//! Place in the flow: called behind WITH. Invariant: a part has one rule, and none that Flink does not know.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::fail;
use super::tokens::span_of;
use super::words::{eat, name};
use crate::error::{Code, Span};
use crate::sql::ast::{Like, LikeMode, LikePart};

/// Parses what follows `LIKE`: `source [({INCLUDING | EXCLUDING | OVERWRITING} part ...)]`.
pub(super) fn like(parser: &mut Parser) -> Result<Like, ParserError> {
    let source = name(parser)?;
    let mut rules: Vec<(LikeMode, LikePart, Span)> = Vec::new();
    if !parser.consume_token(&Token::LParen) {
        return Ok(Like { source, rules });
    }
    while !parser.consume_token(&Token::RParen) {
        let mode = one_of(
            parser,
            &[
                ("INCLUDING", LikeMode::Including),
                ("EXCLUDING", LikeMode::Excluding),
                ("OVERWRITING", LikeMode::Overwriting),
            ],
        )?;
        let token = parser.peek_token();
        let part = one_of(
            parser,
            &[
                ("ALL", LikePart::All),
                ("CONSTRAINTS", LikePart::Constraints),
                ("DISTRIBUTION", LikePart::Distribution),
                ("GENERATED", LikePart::Generated),
                ("METADATA", LikePart::Metadata),
                ("OPTIONS", LikePart::Options),
                ("PARTITIONS", LikePart::Partitions),
                ("WATERMARKS", LikePart::Watermarks),
            ],
        )?;
        let problem = if rules.iter().any(|(_, known, _)| *known == part) {
            Some("a part has one rule only")
        } else if mode == LikeMode::Overwriting && !part.can_be_overwritten() {
            Some("only GENERATED, METADATA, OPTIONS and WATERMARKS can be overwritten")
        } else {
            None
        };
        if let Some(problem) = problem {
            return fail(Code::Validation, problem, token.span);
        }
        rules.push((mode, part, span_of(token.span)));
    }
    Ok(Like { source, rules })
}

/// Takes one of several words.
fn one_of<T: Copy>(parser: &mut Parser, words: &[(&str, T)]) -> Result<T, ParserError> {
    for (word, meaning) in words {
        if eat(parser, word) {
            return Ok(*meaning);
        }
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    parser.expected(&words.join(", "), parser.peek_token())
}
