//! `PATTERN (...) WITHIN interval` of `MATCH_RECOGNIZE`, which sqlparser does not know.
//!
//! Place in the flow: tokens are rewritten before they are parsed: the interval becomes the first definition of DEFINE, under a name that
//! no user can write unquoted. Invariant: no token is lost, and each keeps its place.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Name of the definition that carries the interval of `WITHIN`.
pub(crate) const WITHIN: &str = "PATTERN WITHIN";

/// Moves the intervals of `WITHIN` into DEFINE.
pub(super) fn move_within(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
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
    let word = |text: &str, quote: Option<char>, keyword: Keyword| TokenWithSpan {
        token: Token::Word(Word {
            value: text.to_owned(),
            quote_style: quote,
            keyword,
        }),
        span: tokens[first].span,
    };
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
