//! Hints: `/*+ NAME(...), ... */`.
//!
//! Place in the flow: the tokenizer meets a hint as a comment and hands its text over; the query it stands in takes what comes out.
//! Invariant: a hint that would change results or state is kept or refused; only advice about how to execute a query goes.

use std::collections::BTreeMap;

use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::tokens::{is_word, lower_first, span_of};
use crate::error::{Error, Result, Span};
use crate::sql::ast::{Hint, HintKind};
use crate::sql::dialect::FlinkDialect;
use crate::sql::session::parse_duration;

/// Hints that say how a query is executed and not what it means; a streaming join has one way.
///
/// # Source
/// Flink SQL: join hints are for batch mode; `MULTI_JOIN` puts several joins into one operator.
const ADVICE: [&str; 5] = [
    "BROADCAST",
    "SHUFFLE_HASH",
    "SHUFFLE_MERGE",
    "NEST_LOOP",
    "MULTI_JOIN",
];

/// The hints of one comment that stands behind a token; advice behind SELECT is left out.
///
/// # Errors
/// `Invalid` for another form or a value that is none, `Unsupported` for another hint.
pub(super) fn hints_of(
    text: &str,
    before: Option<&TokenWithSpan>,
    span: Span,
) -> Result<Vec<Hint>> {
    read(text, before, span).map_err(|error| error.with_span(span))
}

/// Reads the hints of one comment.
fn read(text: &str, before: Option<&TokenWithSpan>, span: Span) -> Result<Vec<Hint>> {
    let tokens: Vec<Token> = Tokenizer::new(&FlinkDialect, text)
        .tokenize()
        .map_err(|error| Error::syntax(lower_first(&error.message)))?
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let is_select = before.is_some_and(|token| is_word(token, "SELECT"));
    let after = before.map(|token| span_of(token.span));
    let mut rest = tokens.as_slice();
    let mut hints = Vec::new();
    loop {
        let (name, inner, behind) = call(rest)?;
        let is_advice = ADVICE.contains(&name.as_str()) && is_select;
        if !is_advice {
            let kind = kind_of(&name)?;
            let after = after.ok_or_else(|| Error::syntax(kind.place()))?;
            hints.push(Hint {
                kind,
                after: (after.end_line, after.end_column),
                options: entries(kind, inner)?,
                span,
            });
        }
        rest = match behind {
            [] => return Ok(hints),
            [Token::Comma, more @ ..] => more,
            _ => {
                return Err(Error::syntax(
                    "hints of one comment are separated by commas",
                ));
            }
        };
    }
}

/// The first hint of some tokens: its name, what is in its parentheses, and what follows.
fn call(tokens: &[Token]) -> Result<(String, &[Token], &[Token])> {
    let form = || Error::syntax("a hint is written /*+ OPTIONS('key' = 'value') */");
    let [Token::Word(name), rest @ ..] = tokens else {
        return Err(form());
    };
    let name = name.value.to_uppercase();
    let [Token::LParen, rest @ ..] = rest else {
        kind_of(&name)?;
        return Err(form());
    };
    let end = rest.iter().position(|token| *token == Token::RParen);
    let (inner, behind) = rest.split_at(end.ok_or_else(form)?);
    if inner.contains(&Token::LParen) {
        return Err(form());
    }
    Ok((name, inner, &behind[1..]))
}

/// What the hint of a name is about.
fn kind_of(name: &str) -> Result<HintKind> {
    match name {
        "OPTIONS" => Ok(HintKind::Options),
        "STATE_TTL" => Ok(HintKind::StateTtl),
        _ => Err(Error::unsupported(format!(
            "the hint {name}: there are OPTIONS behind a table and STATE_TTL behind SELECT"
        ))),
    }
}

/// The keys and values of a hint.
fn entries(kind: HintKind, inner: &[Token]) -> Result<BTreeMap<String, String>> {
    let mut entries = BTreeMap::new();
    for pair in inner.split(|token| *token == Token::Comma) {
        let (key, value) = match pair {
            [
                Token::SingleQuotedString(key),
                Token::Eq,
                Token::SingleQuotedString(value),
            ] => (key, value),
            [
                Token::Word(key),
                Token::Eq,
                Token::SingleQuotedString(value),
            ] if kind == HintKind::StateTtl => (&key.value, value),
            _ => {
                return Err(Error::syntax(match kind {
                    HintKind::Options => "a hint is written /*+ OPTIONS('key' = 'value') */",
                    HintKind::StateTtl => {
                        "a hint is written /*+ STATE_TTL('table or alias' = '1 d') */"
                    }
                }));
            }
        };
        if kind == HintKind::StateTtl && parse_duration(value).is_none() {
            return Err(Error::option(format!(
                "hint STATE_TTL: \"{value}\" of '{key}' is not a duration such as \"1 d\" or \"12 h\""
            )));
        }
        if entries.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::syntax(format!("'{key}' is written twice in a hint")));
        }
    }
    Ok(entries)
}
