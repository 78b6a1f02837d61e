//! What sqlparser does not know of `MATCH_RECOGNIZE`: `PATTERN (...) WITHIN interval`, `SKIP TO variable`, and sub-queries as input.
//!
//! Place in the flow: tokens are rewritten before they are parsed: the interval becomes the first definition of DEFINE, and a sub-query the
//! argument of a function, under names that no user can write unquoted. Invariant: no token is lost, and each keeps its place.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Name of the definition that carries the interval of `WITHIN`.
pub(crate) const WITHIN: &str = "PATTERN WITHIN";

/// Name of the function whose argument is the sub-query that `MATCH_RECOGNIZE` reads.
pub(crate) const PATTERN_INPUT: &str = "PATTERN INPUT";

/// Rewrites what sqlparser does not know.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_match = |token: &TokenWithSpan| is_word(&token.token, "MATCH_RECOGNIZE");
    if !tokens.iter().any(is_match) {
        return tokens;
    }
    move_within(name_inputs(say_last(tokens)))
}

/// A word at the place of another token.
fn word_at(
    place: &TokenWithSpan,
    text: &str,
    quote: Option<char>,
    keyword: Keyword,
) -> TokenWithSpan {
    TokenWithSpan {
        token: Token::Word(Word {
            value: text.to_owned(),
            quote_style: quote,
            keyword,
        }),
        span: place.span,
    }
}

/// Writes `SKIP TO LAST variable` for `SKIP TO variable`.
fn say_last(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let [.., skip, to] = out.as_slice()
            && is_word(&skip.token, "SKIP")
            && is_word(&to.token, "TO")
            && matches!(token.token, Token::Word(_))
            && !["NEXT", "FIRST", "LAST"]
                .iter()
                .any(|known| is_word(&token.token, known))
        {
            out.push(word_at(&token, "LAST", None, Keyword::LAST));
        }
        out.push(token);
    }
    out
}

/// Makes the sub-queries that `MATCH_RECOGNIZE` reads arguments of a function, since sqlparser takes names and functions there.
fn name_inputs(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut open = Vec::new();
    let mut closed = None;
    for token in tokens {
        match token.token {
            Token::LParen => open.push(out.len()),
            Token::RParen => closed = open.pop(),
            _ => {}
        }
        if is_word(&token.token, "MATCH_RECOGNIZE")
            && let Some(start) = closed
            && out.last().is_some_and(|last| last.token == Token::RParen)
            && let (Some(first), Some(close)) = (out.get(start).cloned(), out.last().cloned())
            && out
                .get(start + 1)
                .is_some_and(|next| is_word(&next.token, "SELECT"))
        {
            let name = word_at(&first, PATTERN_INPUT, Some('`'), Keyword::NoKeyword);
            out.splice(start..start, [name, first]);
            out.push(close);
        }
        out.push(token);
    }
    out
}

/// Moves the intervals of `WITHIN` into DEFINE.
fn move_within(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let Some(first) = tokens
        .iter()
        .position(|token| is_word(&token.token, "WITHIN"))
    else {
        return tokens;
    };
    let follows_pattern = first > 0 && tokens[first - 1].token == Token::RParen;
    let define = tokens[first..]
        .iter()
        .position(|token| is_word(&token.token, "DEFINE"))
        .map(|offset| first + offset);
    let (true, Some(define)) = (follows_pattern && has_pattern(&tokens[..first]), define) else {
        return tokens;
    };
    let place = tokens[first].clone();
    let word = |text: &str, quote, keyword| word_at(&place, text, quote, keyword);
    let mut moved = tokens[..first].to_vec();
    moved.push(tokens[define].clone());
    moved.push(word(WITHIN, Some('`'), Keyword::NoKeyword));
    moved.push(word("AS", None, Keyword::AS));
    moved.extend_from_slice(&tokens[first + 1..define]);
    moved.push(TokenWithSpan {
        token: Token::Comma,
        span: tokens[define].span,
    });
    moved.extend(move_within(tokens[define + 1..].to_vec()));
    moved
}

/// Whether a token is that word.
fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// Whether the parentheses that the tokens end in are those of PATTERN.
fn has_pattern(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().rev() {
        match token.token {
            Token::RParen => depth += 1,
            Token::LParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index > 0 && is_word(&tokens[index - 1].token, "PATTERN");
                }
            }
            _ => {}
        }
    }
    false
}
