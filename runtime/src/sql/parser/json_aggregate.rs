//! `JSON_OBJECTAGG`, whose key and value have words around them.
//!
//! Place in the flow: the dialect's hook for expressions comes here. The call leaves with key and value as its arguments. Invariant: all
//! spellings of Flink mean the same: `KEY k VALUE v`, `k VALUE v`, `k : v` and `k, v`.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, JsonNullClause, ObjectName, ObjectNamePart,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::words::{eat, eat_all, peek};

/// Name of the function.
const NAME: &str = "JSON_OBJECTAGG";

/// Parses a call of the function; absent for anything else.
pub(crate) fn parse_json_objectagg(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let is_call = parser.peek_nth_token_ref(1).token == Token::LParen;
    (is_call && peek(parser, 0, NAME)).then(|| call(parser))
}

/// Parses the call.
fn call(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LParen)?;
    if peek(parser, 0, "KEY") && !peek(parser, 1, "VALUE") {
        let next = &parser.peek_nth_token_ref(1).token;
        if !matches!(next, Token::Comma | Token::Colon | Token::Period) {
            eat(parser, "KEY");
        }
    }
    let key = parser.parse_expr()?;
    let is_parted = eat(parser, "VALUE")
        || parser.consume_token(&Token::Comma)
        || parser.consume_token(&Token::Colon);
    if !is_parted {
        return parser.expected("VALUE", parser.peek_token());
    }
    let value = parser.parse_expr()?;
    let clause = if eat_all(parser, &["NULL", "ON", "NULL"]) {
        Some(JsonNullClause::NullOnNull)
    } else if eat_all(parser, &["ABSENT", "ON", "NULL"]) {
        Some(JsonNullClause::AbsentOnNull)
    } else {
        None
    };
    parser.expect_token(&Token::RParen)?;
    let filter = if parser.parse_keyword(Keyword::FILTER) {
        parser.expect_token(&Token::LParen)?;
        parser.expect_keyword_is(Keyword::WHERE)?;
        let filter = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        Some(Box::new(filter))
    } else {
        None
    };
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Ok(Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(
            span, NAME,
        ))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(key), argument(value)],
            clauses: clause
                .into_iter()
                .map(FunctionArgumentClause::JsonNullClause)
                .collect(),
        }),
        within_group: Vec::new(),
        filter,
        null_treatment: None,
        over: None,
    }))
}
