//! SHOW and DESCRIBE.
//!
//! Place in the flow: called by the statement parser behind the first words. Invariant: what cannot be shown is named with a way out.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::words::{eat, eat_all, expect, name, peek, string};
use super::{StatementParser, fail};
use crate::error::Code;
use crate::sql::ast::{Listed, Listing, Pattern, ResourceKind, Show, StatementKind};

/// What SHOW lists, by the words behind it.
const LISTED: [(&[&str], Listed); 9] = [
    (&["CATALOGS"], Listed::Catalogs),
    (&["DATABASES"], Listed::Databases),
    (&["TABLES"], Listed::Tables),
    (&["VIEWS"], Listed::Views),
    (&["FUNCTIONS"], Listed::Functions),
    (&["ALL", "FUNCTIONS"], Listed::Functions),
    (&["USER", "FUNCTIONS"], Listed::UserFunctions),
    (&["MODELS"], Listed::Models),
    (&["CONNECTIONS"], Listed::Connections),
];

impl StatementParser<'_> {
    /// Parses `SHOW`.
    pub(super) fn show(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        expect(parser, &["SHOW"])?;
        if let Some((_, listed)) = LISTED.iter().find(|(words, _)| eat_all(parser, words)) {
            let listing = listing(parser)?;
            if listing.from.is_some() && matches!(listed, Listed::Catalogs) {
                let span = parser.get_current_token().span;
                return fail(Code::Syntax, "SHOW CATALOGS takes no FROM", span);
            }
            return Ok(StatementKind::Show(Show::List(*listed, listing)));
        }
        let show = if eat(parser, "JOBS") {
            Show::Jobs
        } else if eat_all(parser, &["CURRENT", "CATALOG"]) {
            Show::CurrentCatalog
        } else if eat_all(parser, &["CURRENT", "DATABASE"]) {
            Show::CurrentDatabase
        } else if eat_all(parser, &["CREATE", "TABLE"]) {
            Show::CreateTable(name(parser)?)
        } else if eat_all(parser, &["CREATE", "VIEW"]) {
            Show::CreateView(name(parser)?)
        } else if eat_all(parser, &["CREATE", "MODEL"]) {
            Show::CreateModel(name(parser)?)
        } else {
            self.refuse_shown("SHOW")?;
            let parser = &mut self.inner;
            let token = parser.peek_token();
            if eat_all(parser, &["CREATE", "CONNECTION"]) {
                let message =
                    "SHOW CREATE CONNECTION: secrets are not shown, use DESCRIBE CONNECTION";
                return fail(Code::Unsupported, message, token.span);
            }
            return parser.expected("CATALOGS, DATABASES, TABLES, VIEWS, FUNCTIONS, MODELS, CONNECTIONS, JOBS, CURRENT CATALOG, CURRENT DATABASE or CREATE TABLE, VIEW or MODEL", token);
        };
        Ok(StatementKind::Show(show))
    }

    /// Parses `DESCRIBE`.
    pub(super) fn describe(&mut self) -> Result<StatementKind, ParserError> {
        let parser = &mut self.inner;
        parser.advance_token();
        // A table may have one of these names.
        let is_word = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
        for kind in [
            ResourceKind::Model,
            ResourceKind::Connection,
            ResourceKind::Function,
        ] {
            if is_word && eat(parser, kind.as_str()) {
                let extended = kind == ResourceKind::Function && eat(parser, "EXTENDED");
                return Ok(StatementKind::DescribeResource {
                    kind,
                    name: name(parser)?,
                    extended,
                });
            }
        }
        for object in ["CATALOG", "DATABASE", "JOB", "AGENT", "TOOL"] {
            if is_word && peek(parser, 0, object) {
                let message = format!("DESCRIBE {object}: use SHOW");
                return fail(Code::Unsupported, &message, parser.peek_token().span);
            }
        }
        let extended = eat(parser, "EXTENDED");
        eat(parser, "TABLE");
        Ok(StatementKind::Describe {
            name: name(parser)?,
            extended,
        })
    }
}

/// Parses `[{ FROM | IN } name] [[NOT] { LIKE | ILIKE } 'pattern']`.
fn listing(parser: &mut Parser) -> Result<Listing, ParserError> {
    let has_from = eat(parser, "FROM") || eat(parser, "IN");
    let from = has_from.then(|| name(parser)).transpose()?;
    let is_negated = eat(parser, "NOT");
    let ignores_case = eat(parser, "ILIKE");
    if !ignores_case && !eat(parser, "LIKE") {
        if is_negated {
            return parser.expected("LIKE or ILIKE", parser.peek_token());
        }
        return Ok(Listing {
            from,
            pattern: None,
        });
    }
    let pattern = Pattern {
        text: string(parser)?.value,
        is_negated,
        ignores_case,
    };
    Ok(Listing {
        from,
        pattern: Some(pattern),
    })
}
