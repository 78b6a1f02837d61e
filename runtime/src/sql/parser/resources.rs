//! Models, connections, functions and views: CREATE, ALTER and DROP.
//!
//! Place in the flow: called by the statement parser behind the first words. Invariant: every clause of Confluent's grammar is kept
//! in the tree or refused with its place.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::types::parse_type;
use super::words::{
    eat, eat_all, expect, ident, if_exists, if_not_exists, list, name, peek, string,
};
use super::{StatementParser, fail};
use crate::error::Code;
use crate::sql::ast::{AlterResource, AlterView, CreateModel, Ident, ResourceKind, StatementKind};
use crate::types::FlinkType;

impl StatementParser<'_> {
    /// Parses what follows `CREATE MODEL`.
    pub(super) fn create_model(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let if_not_exists = if_not_exists(parser);
        let name = name(parser)?;
        let inputs = columns(parser, "INPUT")?;
        let outputs = columns(parser, "OUTPUT")?;
        let comment = comment(parser)?;
        if peek(parser, 0, "AS") {
            let message =
                "CREATE MODEL ... AS: models are trained elsewhere and reached by a connection";
            return fail(Code::Unsupported, message, parser.peek_token().span);
        }
        expect(parser, &["WITH"])?;
        Ok(StatementKind::CreateModel(CreateModel {
            name,
            if_not_exists,
            inputs,
            outputs,
            comment,
            options: self.options()?,
        }))
    }

    /// Parses what follows `CREATE CONNECTION`.
    pub(super) fn create_connection(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let if_not_exists = if_not_exists(parser);
        let name = name(parser)?;
        let comment = comment(parser)?;
        expect(parser, &["WITH"])?;
        Ok(StatementKind::CreateConnection {
            name,
            if_not_exists,
            comment,
            options: self.options()?,
        })
    }

    /// Parses `DROP`.
    pub(super) fn drop(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        expect(parser, &["DROP"])?;
        for kind in [
            ResourceKind::Model,
            ResourceKind::Connection,
            ResourceKind::Function,
        ] {
            if eat(parser, kind.as_str()) {
                let if_exists = if_exists(parser);
                return Ok(StatementKind::DropResource {
                    kind,
                    name: name(parser)?,
                    if_exists,
                });
            }
        }
        let is_view = eat(parser, "VIEW");
        if !is_view {
            self.refuse_object("DROP")?;
            expect(&mut self.inner, &["TABLE"])?;
        }
        let parser = &mut self.inner;
        let if_exists = if_exists(parser);
        let name = name(parser)?;
        Ok(if is_view {
            StatementKind::DropView { name, if_exists }
        } else {
            StatementKind::DropTable { name, if_exists }
        })
    }

    /// Parses `ALTER`.
    pub(super) fn alter(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        expect(parser, &["ALTER"])?;
        for kind in [ResourceKind::Model, ResourceKind::Connection] {
            if eat(parser, kind.as_str()) {
                return self.alter_resource(kind);
            }
        }
        if eat(parser, "VIEW") {
            return self.alter_view();
        }
        self.refuse_object("ALTER")?;
        expect(&mut self.inner, &["TABLE"])?;
        self.alter_table()
    }

    /// Parses what follows `ALTER VIEW`.
    fn alter_view(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let name_ = name(parser)?;
        let change = if eat_all(parser, &["RENAME", "TO"]) {
            AlterView::Rename(name(parser)?)
        } else if eat(parser, "AS") {
            let start = parser.peek_token().span;
            let query = self.query()?;
            AlterView::As {
                query,
                text: self.text_from(start),
            }
        } else {
            return parser.expected("RENAME TO or AS", parser.peek_token());
        };
        Ok(StatementKind::AlterView {
            name: name_,
            change,
        })
    }

    /// Parses what follows `ALTER MODEL` and `ALTER CONNECTION`.
    fn alter_resource(&mut self, kind: ResourceKind) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let if_exists = if_exists(parser);
        let which = name(parser)?;
        let change = if eat_all(parser, &["RENAME", "TO"]) {
            AlterResource::Rename(name(parser)?)
        } else if eat(parser, "SET") {
            AlterResource::Set(self.options()?)
        } else if eat(parser, "RESET") {
            AlterResource::Reset(list(parser, string)?)
        } else {
            return parser.expected("RENAME TO, SET or RESET", parser.peek_token());
        };
        Ok(StatementKind::AlterResource {
            kind,
            name: which,
            if_exists,
            change,
        })
    }
}

/// Parses `[WORD (name type, ...)]`.
fn columns(parser: &mut Parser, word: &str) -> Result<Vec<(Ident, FlinkType)>, ParserError> {
    if !eat(parser, word) {
        return Ok(Vec::new());
    }
    if parser.peek_token_ref().token != Token::LParen {
        return parser.expected("(name type, ...)", parser.peek_token());
    }
    list(parser, |parser| {
        let name = ident(parser)?;
        let ty = parse_type(parser)?;
        comment(parser)?;
        Ok((name, ty))
    })
}

/// Parses `[COMMENT 'text']`.
fn comment(parser: &mut Parser) -> Result<Option<String>, ParserError> {
    let comment = eat(parser, "COMMENT").then(|| string(parser)).transpose()?;
    Ok(comment.map(|literal| literal.value))
}
