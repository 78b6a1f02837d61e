//! CASE with several values in one WHEN, and BETWEEN with SYMMETRIC.
//!
//! Place in the flow: the dialect's hooks call it where sqlparser knows only the plain forms. Invariant: what comes out is made of plain
//! forms, so that nothing behind the parser knows of these.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, UnaryOperator};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

use super::words::{eat, expect, peek};

/// Parses `CASE [operand] WHEN value [, ...] THEN result ... [ELSE result] END`.
///
/// # Errors
/// A syntax error with its place.
pub(crate) fn parse_case(parser: &mut Parser) -> Result<Expr, ParserError> {
    let case_token = AttachedToken(parser.next_token());
    let operand = if peek(parser, 0, "WHEN") {
        None
    } else {
        Some(Box::new(parser.parse_expr()?))
    };
    let mut conditions = Vec::new();
    expect(parser, &["WHEN"])?;
    loop {
        let values = if operand.is_some() {
            parser.parse_comma_separated(Parser::parse_expr)?
        } else {
            vec![parser.parse_expr()?]
        };
        expect(parser, &["THEN"])?;
        let result = parser.parse_expr()?;
        conditions.extend(values.into_iter().map(|condition| CaseWhen {
            condition,
            result: result.clone(),
        }));
        if !eat(parser, "WHEN") {
            break;
        }
    }
    let else_result = if eat(parser, "ELSE") {
        Some(Box::new(parser.parse_expr()?))
    } else {
        None
    };
    let end_token = AttachedToken(parser.expect_keyword(Keyword::END)?);
    Ok(Expr::Case {
        case_token,
        end_token,
        operand,
        conditions,
        else_result,
    })
}

/// Whether `[NOT] BETWEEN SYMMETRIC` or `ASYMMETRIC` is next.
pub(crate) fn is_between_with_order(parser: &Parser) -> bool {
    let at = usize::from(peek(parser, 0, "NOT"));
    peek(parser, at, "BETWEEN")
        && (peek(parser, at + 1, "SYMMETRIC") || peek(parser, at + 1, "ASYMMETRIC"))
}

/// Parses it behind its first operand; the bounds bind as tightly as `precedence`.
///
/// # Errors
/// A syntax error with its place.
pub(crate) fn parse_between(
    parser: &mut Parser,
    expr: &Expr,
    precedence: u8,
) -> Result<Expr, ParserError> {
    let negated = eat(parser, "NOT");
    expect(parser, &["BETWEEN"])?;
    let is_symmetric = eat(parser, "SYMMETRIC");
    if !is_symmetric {
        expect(parser, &["ASYMMETRIC"])?;
    }
    let low = parser.parse_subexpr(precedence)?;
    expect(parser, &["AND"])?;
    let high = parser.parse_subexpr(precedence)?;
    let between = |low: &Expr, high: &Expr| Expr::Between {
        expr: Box::new(expr.clone()),
        negated: false,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    let mut test = between(&low, &high);
    if is_symmetric {
        test = Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(test),
            op: BinaryOperator::Or,
            right: Box::new(between(&high, &low)),
        }));
    }
    Ok(if negated {
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(test),
        }
    } else {
        test
    })
}
