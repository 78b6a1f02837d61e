//! Secrets of a statement's text, masked.
//!
//! Place in the flow: the server stores and shows the text of statements; it masks the values of connections before. Invariant: no value
//! of CREATE CONNECTION or ALTER CONNECTION that may be a secret is left, also when the text does not parse.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::FlinkDialect;
use super::parser::tokens::Source;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "******";

/// The same as a string of SQL.
const QUOTED_MASK: &str = "'******'";

/// Options of connections whose values anyone may see.
///
/// # Source
/// Confluent: CREATE CONNECTION; everything else is masked, also what is misspelt.
pub(crate) const PUBLIC: [&str; 9] = [
    "type",
    "endpoint",
    "username",
    "client-id",
    "scope",
    "token-endpoint",
    "sse-endpoint",
    "transport-type",
    "auth-type",
];

/// A text whose secrets are masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The text with masks.
    pub text: String,
    /// What was masked.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Redacted {
    /// A message about the text, such as an error that quotes it, without the secrets.
    pub fn mask(&self, message: &str) -> String {
        let masked = self.secrets.iter().filter(|secret| !secret.is_empty());
        masked.fold(message.to_owned(), |message, secret| {
            message.replace(secret.as_str(), MASK)
        })
    }
}

/// The text of statements without the secrets of connections; absent when there are none to mask.
pub fn redacted(sql: &str) -> Option<Redacted> {
    let Ok(tokens) = Tokenizer::new(&FlinkDialect, sql).tokenize_with_location() else {
        return unreadable(sql);
    };
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let source = Source::new(sql);
    let mut text = String::new();
    let mut done = Location::new(1, 1);
    let mut is_connection = false;
    let mut secrets = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if index == 0 || tokens[index - 1].token == Token::SemiColon {
            is_connection = names_connection(&tokens[index..]);
        }
        if is_connection && is_secret(&tokens, index) {
            text.push_str(source.slice(done, token.span.start));
            text.push_str(QUOTED_MASK);
            done = token.span.end;
            secrets.push(match &token.token {
                Token::SingleQuotedString(value) | Token::DoubleQuotedString(value) => {
                    value.clone()
                }
                other => other.to_string(),
            });
        }
    }
    if text.is_empty() {
        return None;
    }
    text.push_str(source.rest(done));
    Some(Redacted { text, secrets })
}

/// Whether a token of such a statement may be a secret: whatever is no word and no sign, unless it is a key or the value of a key that
/// anyone may see.
fn is_secret(tokens: &[TokenWithSpan], index: usize) -> bool {
    let at = |index: Option<usize>| Some(&tokens.get(index?)?.token);
    let before = at(index.checked_sub(1));
    let is_value = matches!(before, Some(Token::Eq | Token::DoubleEq));
    let is_key = matches!(at(Some(index + 1)), Some(Token::Eq | Token::DoubleEq));
    let is_plain = matches!(
        tokens[index].token,
        Token::Word(_)
            | Token::Eq
            | Token::DoubleEq
            | Token::Comma
            | Token::LParen
            | Token::RParen
            | Token::SemiColon
            | Token::Period
            | Token::EOF
    );
    let is_comment =
        matches!(before, Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("COMMENT"));
    let is_public = match at(index.checked_sub(2)) {
        Some(Token::SingleQuotedString(key)) => is_value && PUBLIC.contains(&key.as_str()),
        _ => false,
    };
    (is_value || !is_plain) && !is_key && !is_comment && !is_public
}

/// Whether a statement begins with CREATE CONNECTION or ALTER CONNECTION.
fn names_connection(tokens: &[TokenWithSpan]) -> bool {
    let word = |index: usize, word: &str| match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(found)) => found.value.eq_ignore_ascii_case(word),
        _ => false,
    };
    (word(0, "CREATE") || word(0, "ALTER")) && word(1, "CONNECTION")
}

/// A text whose tokens cannot be told apart: nothing behind its first quote is shown when it speaks of a connection.
fn unreadable(sql: &str) -> Option<Redacted> {
    let quote = sql.find(['\'', '"'])?;
    let is_connection = sql.to_uppercase().contains("CONNECTION");
    is_connection.then(|| Redacted {
        text: format!("{}{QUOTED_MASK}", &sql[..quote]),
        secrets: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_connections_are_masked_and_others_are_not() {
        let sql = "CREATE CONNECTION c\nWITH ('type' = 'openai', 'api-key' = 'geheim', 'ap-key' = 'auch''s') ; SELECT 'x' = 'y'";
        assert_eq!(
            redacted(sql).unwrap().text,
            "CREATE CONNECTION c\nWITH ('type' = 'openai', 'api-key' = '******', 'ap-key' = '******') ; SELECT 'x' = 'y'"
        );
        let message = redacted(sql).unwrap().mask("found 'geheim' at 1");
        assert_eq!(message, "found '******' at 1");
        let altered = "/* c */ alter connection c set ('password'='p')";
        assert_eq!(
            redacted(altered).unwrap().text,
            "/* c */ alter connection c set ('password'='******')"
        );
        for (odd, masked) in [
            (
                "CREATE CONNECTION c WITH (\"api-key\" = \"s\")",
                "CREATE CONNECTION c WITH (\"api-key\" = '******')",
            ),
            (
                "CREATE CONNECTION c WITH ('api-key' 's', 'a' == 7)",
                "CREATE CONNECTION c WITH ('******' '******', 'a' == '******')",
            ),
            (
                "CREATE CONNECTION c COMMENT 'x' WITH ('api-key' = s)",
                "CREATE CONNECTION c COMMENT 'x' WITH ('api-key' = '******')",
            ),
        ] {
            assert_eq!(redacted(odd).unwrap().text, masked);
        }
        for plain in [
            "CREATE TABLE connection (a INT) WITH ('connector' = 'print')",
            "CREATE CONNECTION c WITH ('type' = 'openai')",
            "SELECT 1",
            "",
        ] {
            assert_eq!(redacted(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_read_shows_nothing_behind_its_first_quote() {
        let sql = "CREATE CONNECTION c WITH ('api-key' = 'geheim";
        assert_eq!(
            redacted(sql).unwrap().text,
            "CREATE CONNECTION c WITH ('******'"
        );
        assert_eq!(redacted("SELECT 'open"), None);
    }
}
