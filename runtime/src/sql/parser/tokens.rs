//! Text to the tokens that Flink SQL has.
//!
//! Place in the flow: before sqlparser's parser sees anything. Comments and blanks go, hints are collected, and tokens that
//! only other dialects have are refused. Invariant: no hint is dropped silently and no chain of operators is long enough to
//! exhaust the stack of whoever walks the tree later.

use sqlparser::tokenizer::{
    Location, Span as TokenSpan, Token, TokenWithSpan, Tokenizer, Whitespace,
};

use super::hints::hints_of;
use super::unicode;
use crate::error::{Error, Result, Span};
use crate::sql::ast::Hint;
use crate::sql::dialect::FlinkDialect;

/// Most operators in a row without a comma, AND or OR between them.
///
/// # Source
/// A guess, unmeasured: far above what people write, and a tree of that depth fits a 2 MiB stack.
const CHAIN_LENGTH_MAX: usize = 500;

/// Most AND, OR, set operations and joins in one statement.
///
/// # Source
/// A guess, unmeasured: sqlparser nests them as deeply, and dropping such a tree recurses.
const CLAUSES_MAX: usize = 2_000;

/// Longest text of statements, in bytes.
///
/// # Source
/// Confluent: "This query is too large to process (exceeds 4194304 bytes)".
const TEXT_BYTES_MAX: usize = 4_194_304;

/// The tokens of a text.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Tokens without blanks and comments.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Hints by the token they follow.
    pub(super) hints: Vec<Hint>,
}

/// A place in sqlparser's terms as one in ours; sqlparser's end is exclusive.
pub(crate) fn span_of(span: TokenSpan) -> Span {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Span {
        line: small(span.start.line),
        column: small(span.start.column),
        end_line: small(span.end.line),
        end_column: small(span.end.column.saturating_sub(1)),
    }
}

/// Splits a text into tokens.
///
/// # Errors
/// `Invalid` with the place of a character, literal or hint that Flink SQL does not have.
pub(super) fn tokenize(text: &str) -> Result<Tokens> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::validation(format!(
            "this query is too large to process (exceeds {TEXT_BYTES_MAX} bytes)"
        )));
    }
    let raw = Tokenizer::new(&FlinkDialect, text)
        .tokenize_with_location()
        .map_err(|error| {
            let place = TokenSpan::new(error.location, error.location);
            Error::syntax(lower_first(&error.message)).with_span(at(place.start))
        })?;
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(raw.len() / 2);
    let mut hints = Vec::new();
    let mut raw = raw.into_iter();
    while let Some(token) = raw.next() {
        if let Some(string) = unicode::literal(&token, &mut raw)? {
            tokens.push(string);
            continue;
        }
        match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                if let Some(text) = comment.strip_prefix('+') {
                    hints.extend(hints_of(text, tokens.last(), span_of(token.span))?);
                }
            }
            Token::Whitespace(_) => {}
            // `>>` closes two nested types; Flink has no shift operator.
            Token::ShiftRight => tokens.extend(two_greater(token.span)),
            // Literals in successive lines are one.
            Token::SingleQuotedString(more) => match tokens.last_mut() {
                Some(TokenWithSpan {
                    token: Token::SingleQuotedString(text),
                    span,
                }) if span.end.line < token.span.start.line => {
                    text.push_str(more);
                    *span = span.union(&token.span);
                }
                _ => tokens.push(token),
            },
            // A quantifier of a pattern; Flink SQL has no parameters.
            Token::Placeholder(text)
                if text == "?" && tokens.iter().any(|t| is_word(t, "PATTERN")) =>
            {
                tokens.push(token);
            }
            _ => tokens.push(allowed(token)?),
        }
    }
    check_chains(&tokens)?;
    Ok(Tokens { tokens, hints })
}

/// Whether a token is that word, without quotes.
pub(super) fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// The span of a single place.
pub(super) fn at(location: Location) -> Span {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Span::at(small(location.line), small(location.column))
}

/// `>>` as two tokens.
fn two_greater(span: TokenSpan) -> [TokenWithSpan; 2] {
    let middle = Location::new(span.start.line, span.start.column + 1);
    [(span.start, middle), (middle, span.end)].map(|(start, end)| TokenWithSpan {
        token: Token::Gt,
        span: TokenSpan::new(start, end),
    })
}

/// Lets only tokens of Flink SQL through.
fn allowed(token: TokenWithSpan) -> Result<TokenWithSpan> {
    let refused = match &token.token {
        Token::Word(word) if word.value.is_empty() => "empty identifiers",
        Token::Word(_)
        | Token::Number(_, false)
        | Token::SingleQuotedString(_)
        | Token::HexStringLiteral(_)
        | Token::Comma
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::LParen
        | Token::RParen
        | Token::LBracket
        | Token::RBracket
        | Token::Period
        | Token::SemiColon
        | Token::RArrow
        | Token::Colon
        | Token::LBrace
        | Token::RBrace
        | Token::Pipe
        | Token::Question => return Ok(token),
        Token::DoubleQuotedString(_) => {
            "double-quoted strings: strings take single quotes, identifiers back-ticks"
        }
        Token::DoubleEq => "\"==\": equality is written \"=\"",
        Token::DoubleColon => "\"::\": a cast is written CAST(value AS type)",
        _ => "",
    };
    let message = if refused.is_empty() {
        format!("Flink SQL has no \"{}\"", token.token)
    } else {
        format!("Flink SQL has no {refused}")
    };
    Err(Error::syntax(lower_first(&message)).with_span(span_of(token.span)))
}

/// A message that starts with a small letter, unless its first word is a name.
pub(super) fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    if message.starts_with("Flink") || chars.as_str().starts_with(char::is_uppercase) {
        return message.to_owned();
    }
    format!("{}{}", first.to_lowercase(), chars.as_str())
}

/// The length of the chain of operators that a token may belong to.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Operators so far, those around the parenthesis included.
    length: usize,
    /// Whether the level was opened by CASE.
    is_case: bool,
}

/// Counts how deeply the tree of a text may nest.
#[derive(Debug)]
struct Chains {
    /// One level for each open parenthesis or CASE.
    levels: Vec<Level>,
    /// AND, OR, set operations and joins.
    clauses: usize,
}

impl Chains {
    /// Counters at the start of a statement.
    fn new() -> Self {
        let level = Level {
            length: 0,
            is_case: false,
        };
        Self {
            levels: vec![level],
            clauses: 0,
        }
    }

    /// Counts a token.
    fn count(&mut self, token: &Token) {
        match token {
            Token::SemiColon => *self = Self::new(),
            Token::LParen | Token::LBracket => self.open(false),
            Token::RParen | Token::RBracket => {
                while self.levels.last().is_some_and(|level| level.is_case) {
                    self.close();
                }
                self.close();
            }
            Token::Comma => self.restart(),
            Token::Word(word) if word.quote_style.is_none() => {
                match word.value.to_uppercase().as_str() {
                    "AND" | "OR" | "UNION" | "INTERSECT" | "EXCEPT" | "MINUS" | "JOIN" => {
                        self.clauses += 1;
                        self.restart();
                    }
                    "CASE" => self.open(true),
                    "WHEN" | "THEN" | "ELSE" => self.restart(),
                    "END" if self.levels.last().is_some_and(|level| level.is_case) => self.close(),
                    "NOT" | "IS" | "IN" | "LIKE" | "BETWEEN" | "SIMILAR" => self.link(),
                    _ => {}
                }
            }
            token if is_operator(token) => self.link(),
            _ => {}
        }
    }

    /// Makes the chain one longer.
    fn link(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.length += 1;
        }
    }

    /// Starts a chain inside the present one.
    fn open(&mut self, is_case: bool) {
        let length = self.levels.last().map_or(0, |level| level.length) + 1;
        self.levels.push(Level { length, is_case });
    }

    /// Ends the inner chain.
    fn close(&mut self) {
        if self.levels.len() < 2 {
            return;
        }
        let inner = self.levels.pop().map_or(0, |level| level.length);
        if let Some(outer) = self.levels.last_mut() {
            outer.length = outer.length.max(inner);
        }
    }

    /// Ends the chain at a comma or a clause: what follows hangs on the level around it.
    fn restart(&mut self) {
        let outer = self.levels.len().checked_sub(2);
        let length = outer.map_or(0, |outer| self.levels[outer].length);
        if let Some(level) = self.levels.last_mut() {
            level.length = length;
        }
    }

    /// Whether a limit is passed.
    fn is_too_long(&self) -> bool {
        self.clauses > CLAUSES_MAX
            || self
                .levels
                .last()
                .is_some_and(|level| level.length > CHAIN_LENGTH_MAX)
    }
}

/// Refuses expressions and set operations that would nest too deeply.
fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chains = Chains::new();
    for token in tokens {
        chains.count(&token.token);
        if chains.is_too_long() {
            return Err(Error::validation(format!(
                "this query is too large to process (more than {CHAIN_LENGTH_MAX} operators or {CLAUSES_MAX} conditions in a row)"
            ))
            .with_span(span_of(token.span)));
        }
    }
    Ok(())
}

/// Whether a symbol makes a tree one level deeper.
fn is_operator(token: &Token) -> bool {
    matches!(
        token,
        Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Period
    )
}

/// A text that can be cut at places.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// The text.
    text: &'a str,
    /// Byte offset of each line.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Indexes the lines of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// The text from a place to another, the latter excluded.
    pub(crate) fn slice(&self, start: Location, end: Location) -> &'a str {
        self.text
            .get(self.offset(start)..self.offset(end))
            .unwrap_or("")
    }

    /// The text from a place on.
    pub(crate) fn rest(&self, start: Location) -> &'a str {
        self.text.get(self.offset(start)..).unwrap_or("")
    }

    /// Byte offset of a place.
    fn offset(&self, location: Location) -> usize {
        let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let line = small(location.line).saturating_sub(1);
        let Some(start) = self.lines.get(line) else {
            return self.text.len();
        };
        self.text[*start..]
            .char_indices()
            .nth(small(location.column).saturating_sub(1))
            .map_or(self.text.len(), |(offset, _)| start + offset)
    }

    /// The last place of the text.
    pub(super) fn end(&self) -> Span {
        let line = self.lines.len();
        let start = self.lines.last().copied().unwrap_or(0);
        let column = self.text[start..].chars().count();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Span::at(small(line), small(column.max(1)))
    }
}
