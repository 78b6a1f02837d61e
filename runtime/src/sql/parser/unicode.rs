//! String literals with Unicode escapes: `U&'...' [UESCAPE 'c']`.
//!
//! Place in the flow: part of splitting a text into tokens; such a literal becomes a plain one. Invariant: an escape character
//! that is followed neither by four hexadecimal digits nor by itself is refused.

use std::vec::IntoIter;

use sqlparser::tokenizer::{Span as TokenSpan, Token, TokenWithSpan};

use super::tokens::span_of;
use crate::error::{Error, Result};

/// Joins the tokens of a Unicode literal, when the given one begins it, into a plain string; takes the others from `rest`.
///
/// # Errors
/// `Invalid` with the place of a literal whose escapes cannot be read.
pub(super) fn literal(
    first: &TokenWithSpan,
    rest: &mut IntoIter<TokenWithSpan>,
) -> Result<Option<TokenWithSpan>> {
    let is_prefix = matches!(&first.token, Token::Word(word) if is_word(&first.token, "U") && word.value.len() == 1);
    let [ampersand, string, behind @ ..] = rest.as_slice() else {
        return Ok(None);
    };
    let Token::SingleQuotedString(text) = &string.token else {
        return Ok(None);
    };
    let together =
        first.span.end == ampersand.span.start && ampersand.span.end == string.span.start;
    if !is_prefix || ampersand.token != Token::Ampersand || !together {
        return Ok(None);
    }
    let (escape, taken, end) = escape_clause(behind).unwrap_or(("\\", 0, string.span));
    let span = first.span.union(&end);
    let decoded = decode(text, escape).map_err(|error| error.with_span(span_of(span)))?;
    for _ in 0..taken + 2 {
        rest.next();
    }
    Ok(Some(TokenWithSpan {
        token: Token::SingleQuotedString(decoded),
        span,
    }))
}

/// Whether a token is a word, not in back-ticks, whatever its case.
fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// The text, the number of tokens and the place of an `UESCAPE` clause.
fn escape_clause(tokens: &[TokenWithSpan]) -> Option<(&str, usize, TokenSpan)> {
    let mut written = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)));
    let (_, word) = written.next()?;
    if !is_word(&word.token, "UESCAPE") {
        return None;
    }
    let (index, string) = written.next()?;
    match &string.token {
        Token::SingleQuotedString(text) => Some((text, index + 1, string.span)),
        _ => None,
    }
}

/// Replaces the escapes of a text.
fn decode(text: &str, escape: &str) -> Result<String> {
    let mut characters = escape.chars();
    let escape = match (characters.next(), characters.next()) {
        (Some(c), None) if !c.is_ascii_hexdigit() && !"+'\"".contains(c) && !c.is_whitespace() => c,
        _ => {
            return Err(Error::syntax(format!(
                "UESCAPE must be a single character, not a digit, a quote, + or a blank: \"{escape}\""
            )));
        }
    };
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != escape {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let behind = rest.as_str();
        if behind.starts_with(escape) {
            rest.next();
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let digits = behind
            .get(..4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(unit) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
            return Err(Error::syntax(format!(
                "a Unicode escape is {escape} and exactly four hexadecimal digits"
            )));
        };
        units.push(unit);
        rest = behind.get(4..).unwrap_or_default().chars();
    }
    String::from_utf16(&units)
        .map_err(|_| Error::syntax("half of a surrogate pair is no character"))
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokenize;

    /// The tokens of a text as text.
    fn tokens(text: &str) -> Vec<String> {
        let tokens = tokenize(text).unwrap().tokens;
        tokens.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn escapes_become_characters() {
        assert_eq!(tokens(r"U&'\0041bc'"), ["'Abc'"]);
        assert_eq!(tokens(r"u&'a\\b'"), [r"'a\b'"]);
        assert_eq!(tokens("U&'!0041!!' UESCAPE '!', 1"), ["'A!'", ",", "1"]);
        assert_eq!(tokens("U&'#D83D#DE00' /* c */ uescape '#'"), ["'😀'"]);
        assert_eq!(tokens("'U&' || u"), ["'U&'", "||", "u"]);
    }

    #[test]
    fn a_literal_goes_on_in_the_next_line() {
        assert_eq!(
            tokens("'a'\n -- more\n 'b', 'c' 'd'"),
            ["'ab'", ",", "'c'", "'d'"]
        );
        assert_eq!(tokens("U&'!0041'\nUESCAPE '!'\n'b'"), ["'Ab'"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_at_its_place() {
        for text in [
            r"U&'\00g1'",
            r"U&'\0'",
            r"U&'\D83D'",
            "U&'x' UESCAPE ''",
            "U&'x' UESCAPE '1'",
            "U& 'x'",
        ] {
            let error = tokenize(text).unwrap_err();
            assert!(error.span.is_known(), "{text}: {error}");
        }
    }
}
