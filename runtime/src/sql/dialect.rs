//! The Flink dialect of sqlparser.
//!
//! Place in the flow: tokenizer and parser ask it what is allowed. Its hooks parse what sqlparser would misread or refuse:
//! CAST with Flink's types, CASE, JSON functions with clauses, `MAP[...]`, `TABLE t` as an argument, BETWEEN SYMMETRIC and `IS [NOT] DISTINCT FROM`. Invariant: a construct that
//! sqlparser reads differently from Flink never reaches its default rule.

use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart,
};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token};

use crate::sql::parser::conditional::{is_between_with_order, parse_between, parse_case};
use crate::sql::parser::json::parse_json_call;
use crate::sql::parser::json_aggregate::parse_json_objectagg;
use crate::sql::parser::types::parse_type;

/// Name of the pseudo function that carries `TABLE t`; no user can write it unquoted.
pub(crate) const TABLE_ARGUMENT: &str = "TABLE ARGUMENT";

/// Name of the custom type that carries a Flink type as JSON in its only modifier.
pub(crate) const FLINK_TYPE: &str = "FLINK TYPE";

/// How tightly LIKE, BETWEEN and IN bind: more than comparisons, less than `+`.
///
/// # Source
/// Calcite: `SqlStdOperatorTable` gives them 32, comparisons 30 and `+` 40; here they lie between sqlparser's 20 and 30.
const PRECEDENCE_OF_LIKE: u8 = 25;

/// Words that no expression starts with: sqlparser would take some for columns and name the wrong place.
///
/// # Source
/// Flink: reserved keywords.
const RESERVED: [Keyword; 10] = [
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::UNION,
    Keyword::AND,
    Keyword::OR,
    Keyword::AS,
    Keyword::THEN,
];

/// sqlparser's numbers for the other operators.
///
/// # Source
/// sqlparser 0.63, default of `Dialect::prec_value`.
fn default_precedence(precedence: Precedence) -> u8 {
    match precedence {
        Precedence::Period => 100,
        Precedence::DoubleColon => 50,
        Precedence::AtTz => 41,
        Precedence::MulDivModOp => 40,
        Precedence::PlusMinus => 30,
        Precedence::Xor => 24,
        Precedence::Ampersand => 23,
        Precedence::Caret => 22,
        Precedence::Pipe | Precedence::Colon => 21,
        Precedence::Between | Precedence::Like => PRECEDENCE_OF_LIKE,
        Precedence::Eq => 20,
        Precedence::Is => 17,
        Precedence::PgOther => 16,
        Precedence::UnaryNot => 15,
        Precedence::And => 10,
        Precedence::Or => 5,
    }
}

/// Flink SQL.
#[derive(Debug, Default)]
pub(crate) struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        default_precedence(precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        // A colon parts a key and a value, it does not reach into a document.
        let is_colon = parser.peek_token_ref().token == Token::Colon;
        is_colon.then_some(Ok(self.prec_unknown()))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Some(call) = parse_json_call(parser).or_else(|| parse_json_objectagg(parser)) {
            return Some(call);
        }
        let (name, next) = (parser.peek_nth_token_ref(0), parser.peek_nth_token_ref(1));
        let Token::Word(word) = &name.token else {
            return None;
        };
        if word.quote_style.is_some() {
            return None;
        }
        let is_call = next.token == Token::LParen;
        match word.keyword {
            Keyword::CAST if is_call => Some(parse_cast(parser, CastKind::Cast)),
            Keyword::TRY_CAST if is_call => Some(parse_cast(parser, CastKind::TryCast)),
            Keyword::CASE => Some(parse_case(parser)),
            Keyword::MAP if next.token == Token::LBracket => Some(parse_map(parser)),
            Keyword::POSITION if is_call => parser.maybe_parse(parse_position).transpose(),
            Keyword::TRIM if is_call && has_only_mode(parser) => Some(parse_trim(parser)),
            Keyword::TABLE => Some(parse_table_argument(parser)),
            keyword if RESERVED.contains(&keyword) => {
                Some(parser.expected("an expression", name.clone()))
            }
            _ => None,
        }
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if is_between_with_order(parser) {
            return Some(parse_between(parser, expr, PRECEDENCE_OF_LIKE));
        }
        let negated = if parser.parse_keywords(&[
            Keyword::IS,
            Keyword::NOT,
            Keyword::DISTINCT,
            Keyword::FROM,
        ]) {
            true
        } else if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            false
        } else {
            return None;
        };
        let left = Box::new(expr.clone());
        // The right side binds like that of a comparison, so that `AND` behind it is not swallowed.
        Some(
            parser
                .parse_subexpr(self.prec_value(Precedence::Eq))
                .map(|right| {
                    if negated {
                        Expr::IsNotDistinctFrom(left, Box::new(right))
                    } else {
                        Expr::IsDistinctFrom(left, Box::new(right))
                    }
                }),
        )
    }
}

/// Parses `CAST(expression AS type)` with Flink's types.
fn parse_cast(parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
    let start = parser.next_token().span;
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword_is(Keyword::AS)?;
    let ty = parse_type(parser)?;
    let end = parser.expect_token(&Token::RParen)?.span;
    let json = serde_json::to_string(&ty)
        .map_err(|error| ParserError::ParserError(format!("type {ty}: {error}")))?;
    let name = Ident::with_span(start.union(&end), FLINK_TYPE);
    Ok(Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type: DataType::Custom(
            ObjectName(vec![ObjectNamePart::Identifier(name)]),
            vec![json],
        ),
        format: None,
    })
}

/// Parses `POSITION(text IN text [FROM start])`; sqlparser does not know the start.
fn parse_position(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![parser.parse_subexpr(PRECEDENCE_OF_LIKE)?];
    parser.expect_keyword_is(Keyword::IN)?;
    args.push(parser.parse_expr()?);
    if parser.parse_keyword(Keyword::FROM) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("POSITION", span, args))
}

/// Whether the next tokens are `TRIM(mode FROM`, which sqlparser does not read.
fn has_only_mode(parser: &Parser) -> bool {
    let keyword = |index| match &parser.peek_nth_token_ref(index).token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let is_mode = matches!(
        keyword(2),
        Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING
    );
    is_mode && keyword(3) == Keyword::FROM
}

/// Parses `TRIM(mode FROM string)`.
fn parse_trim(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let trim_where = Some(parser.parse_trim_where()?);
    parser.expect_keyword_is(Keyword::FROM)?;
    let expr = Box::new(parser.parse_expr()?);
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim {
        expr,
        trim_where,
        trim_what: None,
        trim_characters: None,
    })
}

/// Parses `MAP[key, value, ...]` as a call of `MAP`.
fn parse_map(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LBracket)?;
    let args = if parser.peek_token_ref().token == Token::RBracket {
        Vec::new()
    } else {
        parser.parse_comma_separated(Parser::parse_expr)?
    };
    parser.expect_token(&Token::RBracket)?;
    Ok(call("MAP", span, args))
}

/// Parses `TABLE name` and `TABLE (query)`, also with `PARTITION BY`, as a call of the pseudo function [`TABLE_ARGUMENT`].
fn parse_table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let span = parser.next_token().span;
    let argument = if parser.peek_token_ref().token == Token::LParen {
        parser.parse_expr()?
    } else {
        let parts = parser.parse_object_name(false)?.0;
        let idents = parts.into_iter().filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(ident),
            ObjectNamePart::Function(_) => None,
        });
        Expr::CompoundIdentifier(idents.collect())
    };
    let mut args = vec![argument];
    if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        args.push(parser.parse_expr()?);
    }
    Ok(call(TABLE_ARGUMENT, span, args))
}

/// A call with positional arguments.
pub(crate) fn call(name: &str, span: Span, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(
            span, name,
        ))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}
