//! SQL text to parsed statements.
//!
//! Enters: a text of statements. Leaves: [`Statement`]s whose queries are sqlparser's trees. Every error names line and
//! column. Invariant: what Flink would read differently is refused, never misread.

pub(crate) mod conditional;
mod ddl;
mod hints;
pub(crate) mod json;
pub(crate) mod json_aggregate;
mod like;
mod refused;
mod resources;
mod show;
pub(crate) mod tokens;
pub(crate) mod types;
mod unicode;
pub(crate) mod within;
mod words;

#[cfg(test)]
mod tests;

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span as TokenSpan, Token};

use self::tokens::{Source, lower_first, span_of, tokenize};
use self::words::{eat, eat_all, expect, ident, if_not_exists, list, name, peek, string};
use crate::error::{Code, Error, Kind, Result, Span};
use crate::plan::ConflictStrategy;
use crate::sql::ast::{ExplainDetail, Hint, Insert, Query, Statement, StatementKind};
use crate::sql::dialect::FlinkDialect;
use crate::sql::stack::with_deep_stack;

/// How deeply parentheses and sub-queries may nest.
///
/// # Source
/// sqlparser's default; the binder recurses as deeply.
const DEPTH_MAX: usize = 50;

/// Separates the code from the message in an error that travels through sqlparser.
const CODE_MARK: char = '\u{1}';

/// Parses statements separated by semicolons.
///
/// # Errors
/// `Invalid` with line and column.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    with_deep_stack(|| parse_here(text))
}

/// Parses statements on the stack there is.
fn parse_here(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokenize(text)?;
    let mut parser = StatementParser {
        source: Source::new(text),
        hints: tokens.hints,
        inner: Parser::new(&FlinkDialect)
            .with_recursion_limit(DEPTH_MAX)
            .with_tokens_with_locations(within::rewrite(tokens.tokens)),
    };
    let statements = parser
        .statements()
        .map_err(|error| translate(error, parser.source.end()))?;
    parser.check_hints()?;
    Ok(statements)
}

/// Parses one expression, as it is stored for computed columns and watermarks.
///
/// # Errors
/// `Invalid` with line and column inside the expression.
pub(crate) fn parse_expression(text: &str) -> Result<sqlparser::ast::Expr> {
    let tokens = tokenize(text)?;
    let mut parser = Parser::new(&FlinkDialect)
        .with_recursion_limit(DEPTH_MAX)
        .with_tokens_with_locations(tokens.tokens);
    let parsed = with_deep_stack(|| parser.parse_expr())
        .and_then(|expr| parser.expect_token(&Token::EOF).map(|_| expr));
    parsed.map_err(|error| translate(error, Source::new(text).end()))
}

/// An error at a place, in the form in which sqlparser carries errors.
fn fail<T>(code: Code, message: &str, span: TokenSpan) -> Result<T, ParserError> {
    Err(ParserError::ParserError(format!(
        "{CODE_MARK}{}{CODE_MARK}{message}{}",
        code.number(),
        span.start
    )))
}

/// sqlparser's error as ours; without a place it is at the end of the text.
fn translate(error: ParserError, end: Span) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            format!("the statement nests deeper than {DEPTH_MAX} levels")
        }
    };
    let (message, span) = split_place(&message).unwrap_or((message.as_str(), end));
    let mut parts = message.splitn(3, CODE_MARK);
    if let (Some(""), Some(number), Some(message)) = (parts.next(), parts.next(), parts.next()) {
        let code = Code::ALL
            .into_iter()
            .find(|code| code.number().to_string() == number)
            .unwrap_or(Code::Syntax);
        let kind = if code == Code::Unsupported {
            Kind::Unsupported
        } else {
            Kind::Invalid
        };
        return Error {
            kind,
            code,
            message: message.to_owned(),
            span,
        };
    }
    let message = message
        .replacen("Expected: ", "expected ", 1)
        .replacen("expected ;,", "expected ; or the end of the text,", 1)
        .replacen("found: EOF", "found the end of the text", 1)
        .replacen("found: ", "found ", 1);
    Error::syntax(lower_first(&message)).with_span(span)
}

/// Cuts ` at Line: 1, Column: 5` off a message.
fn split_place(message: &str) -> Option<(&str, Span)> {
    let (message, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let span = Span::at(line.parse().ok()?, column.parse().ok()?);
    Some((message, span))
}

/// Parses whole statements.
struct StatementParser<'a> {
    /// The text.
    source: Source<'a>,
    /// Hints that no statement has taken yet.
    hints: Vec<Hint>,
    /// The tokens.
    inner: Parser<'a>,
}

impl StatementParser<'_> {
    /// Parses all statements.
    fn statements(&mut self) -> Result<Vec<Statement>, ParserError> {
        let mut statements = Vec::new();
        loop {
            while self.inner.consume_token(&Token::SemiColon) {}
            if self.at_end() {
                return Ok(statements);
            }
            statements.push(self.statement()?);
            if !self.at_end() {
                self.inner.expect_token(&Token::SemiColon)?;
            }
        }
    }

    /// Whether all tokens are taken.
    fn at_end(&self) -> bool {
        self.inner.peek_token_ref().token == Token::EOF
    }

    /// Refuses hints that no query took.
    fn check_hints(&self) -> Result<()> {
        match self.hints.first() {
            None => Ok(()),
            Some(hint) => Err(Error::syntax(hint.kind.place()).with_span(hint.span)),
        }
    }

    /// Parses one statement.
    fn statement(&mut self) -> Result<Statement, ParserError> {
        let start = self.inner.peek_token().span;
        let kind = self.statement_kind()?;
        let end = self.inner.get_current_token().span;
        Ok(Statement {
            kind,
            span: span_of(start.union(&end)),
            text: self.source.slice(start.start, end.end).to_owned(),
        })
    }

    /// Parses a statement by its first words.
    fn statement_kind(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let token = parser.peek_token();
        let word = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
            Token::LParen => "SELECT".to_owned(),
            _ => return parser.expected("a statement", token),
        };
        match word.as_str() {
            "SELECT" | "WITH" | "VALUES" => Ok(StatementKind::Query(self.query()?)),
            "INSERT" => Ok(StatementKind::Insert(self.insert()?)),
            "EXECUTE" | "BEGIN" => self.statement_set(),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "ALTER" => self.alter(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "SET" => {
                parser.advance_token();
                if !matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
                    return Ok(StatementKind::Set(None));
                }
                let key = string(parser)?;
                parser.expect_token(&Token::Eq)?;
                Ok(StatementKind::Set(Some((key, string(parser)?))))
            }
            "RESET" => {
                parser.advance_token();
                let has_key = matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_));
                let key = has_key.then(|| string(parser)).transpose()?;
                Ok(StatementKind::Reset(key))
            }
            "USE" => {
                parser.advance_token();
                if eat(parser, "CATALOG") {
                    return Ok(StatementKind::UseCatalog(ident(parser)?));
                }
                Ok(StatementKind::UseDatabase(name(parser)?))
            }
            word => match refused::statement(word) {
                Some(message) => fail(Code::Unsupported, &message, token.span),
                None => fail(Code::Syntax, &refused::unknown(word), token.span),
            },
        }
    }

    /// Parses a query.
    fn query(&mut self) -> Result<Query, ParserError> {
        let start = span_of(self.inner.peek_token().span);
        let body = self.inner.parse_query()?;
        let end = span_of(self.inner.get_current_token().span);
        let (taken, left) = std::mem::take(&mut self.hints)
            .into_iter()
            .partition(|hint| {
                (start.line, start.column) <= hint.after
                    && hint.after <= (end.end_line, end.end_column)
            });
        self.hints = left;
        Ok(Query { body, hints: taken })
    }

    /// The text between a place and the last token taken.
    fn text_from(&self, start: TokenSpan) -> String {
        let end = self.inner.get_current_token().span.end;
        self.source.slice(start.start, end).to_owned()
    }

    /// Parses `INSERT INTO name [(columns)] query`.
    fn insert(&mut self) -> Result<Insert, ParserError> {
        let parser = &mut self.inner;
        let start = parser.peek_token().span;
        expect(parser, &["INSERT"])?;
        if peek(parser, 0, "OVERWRITE") {
            return fail(
                Code::Unsupported,
                "INSERT OVERWRITE",
                parser.peek_token().span,
            );
        }
        expect(parser, &["INTO"])?;
        let table = name(parser)?;
        if peek(parser, 0, "PARTITION") {
            return fail(
                Code::Unsupported,
                "INSERT INTO ... PARTITION",
                parser.peek_token().span,
            );
        }
        let is_list = parser.peek_token_ref().token == Token::LParen
            && !["SELECT", "WITH", "VALUES"]
                .iter()
                .any(|word| peek(parser, 1, word))
            && parser.peek_nth_token_ref(1).token != Token::LParen;
        let columns = if is_list {
            list(parser, ident)?
        } else {
            Vec::new()
        };
        let query = self.query()?;
        let on_conflict = on_conflict(&mut self.inner)?;
        let span = span_of(start.union(&self.inner.get_current_token().span));
        Ok(Insert {
            table,
            columns,
            query,
            on_conflict,
            span,
        })
    }

    /// Parses `EXECUTE STATEMENT SET BEGIN ... END` and `BEGIN STATEMENT SET; ... END`.
    fn statement_set(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        if eat(parser, "EXECUTE") {
            if peek(parser, 0, "INSERT") {
                return Ok(StatementKind::Insert(self.insert()?));
            }
            if peek(parser, 0, "SELECT") || peek(parser, 0, "WITH") {
                return Ok(StatementKind::Query(self.query()?));
            }
            expect(parser, &["STATEMENT", "SET", "BEGIN"])?;
        } else {
            expect(parser, &["BEGIN", "STATEMENT", "SET"])?;
            parser.expect_token(&Token::SemiColon)?;
        }
        let mut inserts = Vec::new();
        loop {
            while self.inner.consume_token(&Token::SemiColon) {}
            if eat(&mut self.inner, "END") {
                break;
            }
            inserts.push(self.insert()?);
            if !peek(&self.inner, 0, "END") {
                self.inner.expect_token(&Token::SemiColon)?;
            }
        }
        if inserts.is_empty() {
            let span = self.inner.get_current_token().span;
            return fail(Code::Validation, "a statement set without INSERT", span);
        }
        Ok(StatementKind::StatementSet(inserts))
    }

    /// Parses `EXPLAIN [PLAN FOR | detail, ...] statement`.
    fn explain(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        expect(parser, &["EXPLAIN"])?;
        let details = if eat_all(parser, &["PLAN", "FOR"]) {
            Vec::new()
        } else {
            explain_details(parser)?
        };
        let token = parser.peek_token();
        let allowed = [
            "SELECT",
            "WITH",
            "VALUES",
            "INSERT",
            "EXECUTE",
            "BEGIN",
            "STATEMENT",
            "CREATE",
        ];
        if !allowed.iter().any(|word| peek(parser, 0, word)) && token.token != Token::LParen {
            return parser.expected("a query, INSERT or statement set", token);
        }
        if eat(parser, "STATEMENT") {
            expect(parser, &["SET", "BEGIN"])?;
            return fail(
                Code::Unsupported,
                "EXPLAIN STATEMENT SET: write EXPLAIN EXECUTE STATEMENT SET",
                token.span,
            );
        }
        Ok(StatementKind::Explain {
            details,
            statement: Box::new(self.statement()?),
        })
    }

    /// Parses `CREATE TABLE` and `CREATE VIEW`.
    fn create(&mut self) -> Result<StatementKind, ParserError> {
        expect(&mut self.inner, &["CREATE"])?;
        if eat(&mut self.inner, "VIEW") {
            return self.create_view();
        }
        if eat(&mut self.inner, "MODEL") {
            return self.create_model();
        }
        if eat(&mut self.inner, "CONNECTION") {
            return self.create_connection();
        }
        self.refuse_object("CREATE")?;
        expect(&mut self.inner, &["TABLE"])?;
        self.create_table()
    }

    /// Parses what follows `CREATE VIEW`.
    fn create_view(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let if_not_exists = if_not_exists(parser);
        let name = name(parser)?;
        let columns = if parser.peek_token_ref().token == Token::LParen {
            list(parser, ident)?
        } else {
            Vec::new()
        };
        if eat(parser, "COMMENT") {
            string(parser)?;
        }
        expect(parser, &["AS"])?;
        let start = parser.peek_token().span;
        let query = self.query()?;
        Ok(StatementKind::CreateView {
            name,
            if_not_exists,
            columns,
            query,
            query_text: self.text_from(start),
        })
    }
}

/// Parses what EXPLAIN shows beside the plan.
fn explain_details(parser: &mut Parser<'_>) -> Result<Vec<ExplainDetail>, ParserError> {
    let mut details = Vec::new();
    loop {
        let token = parser.peek_token();
        let mut known = ExplainDetail::ALL.into_iter();
        let Some(detail) = known.find(|detail| eat(parser, detail.keyword())) else {
            return Ok(details);
        };
        if details.contains(&detail) {
            let message = format!("EXPLAIN {} twice", detail.keyword());
            return fail(Code::Validation, &message, token.span);
        }
        details.push(detail);
        if !parser.consume_token(&Token::Comma) {
            return Ok(details);
        }
    }
}

/// Parses `[ON CONFLICT DO strategy]`.
fn on_conflict(parser: &mut Parser) -> Result<Option<(ConflictStrategy, Span)>, ParserError> {
    let start = parser.peek_token();
    if !eat_all(parser, &["ON", "CONFLICT"]) {
        return Ok(None);
    }
    expect(parser, &["DO"])?;
    let token = parser.peek_token();
    let strategy = if eat(parser, "ERROR") {
        ConflictStrategy::Error
    } else if eat(parser, "NOTHING") {
        ConflictStrategy::Nothing
    } else if eat(parser, "DEDUPLICATE") {
        ConflictStrategy::Deduplicate
    } else {
        return parser.expected("ERROR, NOTHING or DEDUPLICATE", token);
    };
    let span = span_of(start.span.union(&parser.get_current_token().span));
    Ok(Some((strategy, span)))
}
