//! `CREATE TABLE` and `ALTER TABLE`.
//!
//! Place in the flow: called by the statement parser behind the first words. Invariant: every clause of Flink's and
//! Confluent's grammar is either kept in the tree or refused with its place.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::like::like;
use super::tokens::span_of;
use super::types::parse_type;
use super::words::{
    eat, eat_all, expect, ident, if_exists, if_not_exists, list, name, number, peek, string,
};
use super::{StatementParser, fail};
use crate::error::{Code, Span};
use crate::sql::ast::{
    AlterTable, ColumnDef, ColumnDefKind, CreateTable, Distribution, Ident, StatementKind,
    TableOption, WatermarkDef,
};

/// What stands between the parentheses of `CREATE TABLE`.
#[derive(Debug, Default)]
struct Schema {
    /// Columns.
    columns: Vec<ColumnDef>,
    /// Watermark.
    watermark: Option<WatermarkDef>,
    /// Primary key.
    primary_key: Vec<Ident>,
}

impl StatementParser<'_> {
    /// Parses what follows `CREATE TABLE`.
    pub(super) fn create_table(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        let if_not_exists = if_not_exists(parser);
        let name = name(parser)?;
        let schema = if parser.peek_token_ref().token == Token::LParen {
            self.schema()?
        } else {
            Schema::default()
        };
        let parser = &mut self.inner;
        let comment = eat(parser, "COMMENT").then(|| string(parser)).transpose()?;
        let distribution = self.distribution()?;
        let parser = &mut self.inner;
        if peek(parser, 0, "PARTITIONED") {
            return fail(
                Code::Unsupported,
                "PARTITIONED BY: use DISTRIBUTED BY",
                parser.peek_token().span,
            );
        }
        let options = eat(parser, "WITH")
            .then(|| self.options())
            .transpose()?
            .unwrap_or_default();
        let parser = &mut self.inner;
        let like = eat(parser, "LIKE").then(|| like(parser)).transpose()?;
        let query = eat(parser, "AS").then(|| self.query()).transpose()?;
        Ok(StatementKind::CreateTable(Box::new(CreateTable {
            name,
            if_not_exists,
            columns: schema.columns,
            watermark: schema.watermark,
            primary_key: schema.primary_key,
            comment: comment.map(|literal| literal.value),
            distribution,
            options,
            like,
            query,
        })))
    }

    /// Parses columns, watermark and key in parentheses.
    fn schema(&mut self) -> Result<Schema, ParserError> {
        let mut schema = Schema::default();
        self.inner.expect_token(&Token::LParen)?;
        loop {
            self.schema_item(&mut schema)?;
            if !self.inner.consume_token(&Token::Comma) {
                break;
            }
        }
        self.inner.expect_token(&Token::RParen)?;
        Ok(schema)
    }

    /// Parses one item of a schema.
    fn schema_item(&mut self, schema: &mut Schema) -> Result<(), ParserError> {
        let parser = &mut self.inner;
        let span = parser.peek_token().span;
        if peek(parser, 0, "WATERMARK") && peek(parser, 1, "FOR") {
            let watermark = self.watermark()?;
            if schema.watermark.replace(watermark).is_some() {
                return fail(Code::Validation, "a table has one watermark at most", span);
            }
            return Ok(());
        }
        let is_key =
            peek(parser, 0, "CONSTRAINT") || (peek(parser, 0, "PRIMARY") && peek(parser, 1, "KEY"));
        if is_key {
            if eat(parser, "CONSTRAINT") {
                ident(parser)?;
            }
            expect(parser, &["PRIMARY", "KEY"])?;
            let columns = list(parser, ident)?;
            not_enforced(parser)?;
            return set_key(schema, columns, span);
        }
        if peek(parser, 0, "UNIQUE") {
            return fail(Code::Unsupported, "UNIQUE", span);
        }
        let (column, is_key) = self.column()?;
        let name = column.name.clone();
        if schema
            .columns
            .iter()
            .any(|other| other.name.value == name.value)
        {
            return fail(
                Code::Validation,
                &format!("column `{}` is declared twice", name.value),
                span,
            );
        }
        schema.columns.push(column);
        if is_key {
            set_key(schema, vec![name], span)
        } else {
            Ok(())
        }
    }

    /// Parses a column and whether it is declared `PRIMARY KEY`.
    fn column(&mut self) -> Result<(ColumnDef, bool), ParserError> {
        let name = ident(&mut self.inner)?;
        if eat(&mut self.inner, "AS") {
            let (expr, text) = self.expression()?;
            let comment = self.comment()?;
            let kind = ColumnDefKind::Computed { expr, text };
            return Ok((
                ColumnDef {
                    name,
                    kind,
                    comment,
                },
                false,
            ));
        }
        let ty = parse_type(&mut self.inner)?;
        let parser = &mut self.inner;
        if eat(parser, "METADATA") {
            let key = eat(parser, "FROM").then(|| string(parser)).transpose()?;
            let is_virtual = eat(parser, "VIRTUAL");
            let comment = self.comment()?;
            let kind = ColumnDefKind::Metadata {
                ty,
                key,
                is_virtual,
            };
            return Ok((
                ColumnDef {
                    name,
                    kind,
                    comment,
                },
                false,
            ));
        }
        if peek(parser, 0, "CONSTRAINT") {
            expect(parser, &["CONSTRAINT"])?;
            ident(parser)?;
        }
        let mut is_key = eat_all(parser, &["PRIMARY", "KEY"]);
        if is_key {
            not_enforced(parser)?;
        }
        let comment = self.comment()?;
        if !is_key && eat_all(&mut self.inner, &["PRIMARY", "KEY"]) {
            not_enforced(&mut self.inner)?;
            is_key = true;
        }
        let kind = ColumnDefKind::Physical(ty);
        Ok((
            ColumnDef {
                name,
                kind,
                comment,
            },
            is_key,
        ))
    }

    /// Parses `[COMMENT 'text']`.
    fn comment(&mut self) -> Result<Option<String>, ParserError> {
        let parser = &mut self.inner;
        let comment = eat(parser, "COMMENT").then(|| string(parser)).transpose()?;
        Ok(comment.map(|literal| literal.value))
    }

    /// Parses an expression and its text.
    fn expression(&mut self) -> Result<(Box<sqlparser::ast::Expr>, String), ParserError> {
        let start = self.inner.peek_token().span;
        let expr = self.inner.parse_expr()?;
        Ok((Box::new(expr), self.text_from(start)))
    }

    /// Parses `WATERMARK FOR column AS expression`.
    fn watermark(&mut self) -> Result<WatermarkDef, ParserError> {
        let parser = &mut self.inner;
        expect(parser, &["WATERMARK", "FOR"])?;
        let column = ident(parser)?;
        if parser.peek_token_ref().token == Token::Period {
            return fail(
                Code::Unsupported,
                "a watermark on a nested field",
                parser.peek_token().span,
            );
        }
        expect(parser, &["AS"])?;
        let (expr, text) = self.expression()?;
        Ok(WatermarkDef { column, expr, text })
    }

    /// Parses `[DISTRIBUTED [BY [HASH](columns)] [INTO n BUCKETS]]`.
    fn distribution(&mut self) -> Result<Option<Distribution>, ParserError> {
        let parser = &mut self.inner;
        if !eat(parser, "DISTRIBUTED") {
            return Ok(None);
        }
        let has_columns = eat(parser, "BY");
        if has_columns && peek(parser, 0, "RANGE") {
            return fail(
                Code::Unsupported,
                "DISTRIBUTED BY RANGE",
                parser.peek_token().span,
            );
        }
        let columns = if has_columns {
            eat(parser, "HASH");
            list(parser, ident)?
        } else {
            Vec::new()
        };
        let has_buckets = eat(parser, "INTO");
        if !has_columns && !has_buckets {
            return parser.expected("BY or INTO", parser.peek_token());
        }
        let mut buckets = None;
        if has_buckets {
            let span = parser.peek_token().span;
            buckets = Some(number(parser)?);
            if buckets == Some(0) {
                return fail(Code::Validation, "a table has at least one bucket", span);
            }
            expect(parser, &["BUCKETS"])?;
        }
        Ok(Some(Distribution { columns, buckets }))
    }

    /// Parses `('key' = 'value', ...)`.
    pub(super) fn options(&mut self) -> Result<Vec<TableOption>, ParserError> {
        list(&mut self.inner, |parser| {
            let key = string(parser)?;
            parser.expect_token(&Token::Eq)?;
            let value = string(parser)?;
            Ok(TableOption { key, value })
        })
    }

    /// Parses what follows `ALTER TABLE`.
    pub(super) fn alter_table(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        if_exists(parser);
        let name = name(parser)?;
        let change = self.alter_change()?;
        Ok(StatementKind::AlterTable { name, change })
    }

    /// Parses what `ALTER TABLE name` changes.
    fn alter_change(&mut self) -> Result<AlterTable, ParserError> {
        let parser = &mut self.inner;
        let token = parser.peek_token();
        if eat(parser, "SET") {
            return Ok(AlterTable::Set(self.options()?));
        }
        if eat(parser, "RESET") {
            return Ok(AlterTable::Reset(list(parser, string)?));
        }
        if eat(parser, "ADD") {
            return self.alter_add();
        }
        if eat(parser, "MODIFY") {
            let in_parentheses = parser.consume_token(&Token::LParen);
            if !peek(parser, 0, "WATERMARK") {
                return fail(
                    Code::Unsupported,
                    "ALTER TABLE MODIFY of columns and keys: only the watermark can be modified; columns and keys can be dropped and added",
                    token.span,
                );
            }
            let watermark = self.watermark()?;
            if in_parentheses {
                self.inner.expect_token(&Token::RParen)?;
            }
            return Ok(AlterTable::ModifyWatermark(watermark));
        }
        if eat(parser, "DROP") {
            return self.alter_drop(span_of(token.span));
        }
        if peek(parser, 0, "RENAME") {
            return fail(
                Code::Unsupported,
                "ALTER TABLE RENAME: a table is called as its topic; create another one and INSERT INTO it",
                token.span,
            );
        }
        parser.expected("SET, RESET, ADD, MODIFY or DROP", token)
    }

    /// Parses what follows `ALTER TABLE name DROP`.
    fn alter_drop(&mut self, span: Span) -> Result<AlterTable, ParserError> {
        let parser = &mut self.inner;
        if eat(parser, "WATERMARK") {
            return Ok(AlterTable::DropWatermark(span));
        }
        if eat_all(parser, &["PRIMARY", "KEY"]) {
            return Ok(AlterTable::DropPrimaryKey {
                constraint: None,
                span,
            });
        }
        if eat(parser, "CONSTRAINT") {
            return Ok(AlterTable::DropPrimaryKey {
                constraint: Some(ident(parser)?),
                span,
            });
        }
        if peek(parser, 0, "PARTITION") {
            return fail(
                Code::Unsupported,
                "ALTER TABLE DROP PARTITION: tables have buckets",
                parser.peek_token().span,
            );
        }
        let columns = if parser.peek_token_ref().token == Token::LParen {
            list(parser, ident)?
        } else {
            vec![ident(parser)?]
        };
        Ok(AlterTable::DropColumns(columns))
    }

    /// Parses what follows `ALTER TABLE name ADD`.
    fn alter_add(&mut self) -> Result<AlterTable, ParserError> {
        let span = self.inner.peek_token().span;
        let mut schema = Schema::default();
        if self.inner.peek_token_ref().token == Token::LParen {
            schema = self.schema()?;
        } else {
            self.schema_item(&mut schema)?;
        }
        if !schema.primary_key.is_empty() {
            if !schema.columns.is_empty() || schema.watermark.is_some() {
                let message =
                    "ALTER TABLE ADD PRIMARY KEY with other items: add them one after the other";
                return fail(Code::Unsupported, message, span);
            }
            return Ok(AlterTable::AddPrimaryKey(schema.primary_key));
        }
        if peek(&self.inner, 0, "FIRST") || peek(&self.inner, 0, "AFTER") {
            return fail(
                Code::Unsupported,
                "FIRST and AFTER: new columns stand behind the others",
                self.inner.peek_token().span,
            );
        }
        Ok(AlterTable::Add {
            columns: schema.columns,
            watermark: schema.watermark,
        })
    }
}

/// Parses the `NOT ENFORCED` of a primary key.
fn not_enforced(parser: &mut Parser) -> Result<(), ParserError> {
    if eat_all(parser, &["NOT", "ENFORCED"]) {
        return Ok(());
    }
    fail(
        Code::Syntax,
        "keys are not enforced: write PRIMARY KEY NOT ENFORCED",
        parser.peek_token().span,
    )
}

/// Sets the primary key once.
fn set_key(
    schema: &mut Schema,
    columns: Vec<Ident>,
    span: sqlparser::tokenizer::Span,
) -> Result<(), ParserError> {
    if !schema.primary_key.is_empty() {
        return fail(
            Code::Validation,
            "a table has one primary key at most",
            span,
        );
    }
    schema.primary_key = columns;
    Ok(())
}
