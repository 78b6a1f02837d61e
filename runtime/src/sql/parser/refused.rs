//! Statements that Flink or other dialects have and Confluent Cloud does not, and what to do instead.
//!
//! Place in the flow: the statement parser asks here by the first words. Invariant: every refusal names the statement and a way out.
//!
//! # Source
//! Confluent: comparison with Apache Flink, statements that are not supported.

use sqlparser::parser::ParserError;

use super::words::peek;
use super::{StatementParser, fail};
use crate::error::{Code, unknown_name};

/// First words of statements, and the way out.
const STATEMENTS: [(&str, &str); 14] = [
    ("ANALYZE", "plans need no statistics"),
    ("CALL", "there are no procedures: use the API of the server"),
    (
        "DELETE",
        "streams only grow: write to a table with a PRIMARY KEY, or DROP TABLE",
    ),
    (
        "UPDATE",
        "INSERT INTO a table with a PRIMARY KEY replaces the row of a key",
    ),
    (
        "MERGE",
        "INSERT INTO a table with a PRIMARY KEY replaces the row of a key",
    ),
    ("TRUNCATE", "DROP TABLE and CREATE TABLE empty a table"),
    ("LOAD", "there are no modules: all functions are there"),
    ("UNLOAD", "there are no modules: all functions are there"),
    (
        "ADD",
        "there are no JARs: SHOW FUNCTIONS lists what there is",
    ),
    (
        "REMOVE",
        "there are no JARs: SHOW FUNCTIONS lists what there is",
    ),
    (
        "COMPILE",
        "a statement's plan is stored with it: use EXPLAIN",
    ),
    ("STOP", "stop a statement with `weir statement stop`"),
    ("GRANT", "roles are kept outside of SQL"),
    ("REVOKE", "roles are kept outside of SQL"),
];

/// First words of statements that there are, for suggestions.
const KNOWN: [&str; 16] = [
    "SELECT", "WITH", "VALUES", "INSERT", "EXECUTE", "BEGIN", "CREATE", "DROP", "ALTER", "SHOW",
    "DESCRIBE", "DESC", "EXPLAIN", "SET", "RESET", "USE",
];

/// Objects of CREATE, ALTER and DROP, and the way out.
const OBJECTS: [(&str, &str); 10] = [
    (
        "CATALOG",
        "a catalog is an environment: USE CATALOG chooses one",
    ),
    ("DATABASE", "a database is a Kafka cluster: USE chooses one"),
    (
        "TEMPORARY",
        "nothing is temporary: leave TEMPORARY out and DROP it later",
    ),
    ("SYSTEM", "functions of the system cannot be changed"),
    (
        "MATERIALIZED",
        "use CREATE TABLE ... AS SELECT, which fills a table for as long as its statement runs",
    ),
    ("AGENT", "there are no agents: use a query"),
    ("TOOL", "there are no tools: use a query"),
    (
        "OR",
        "leave OR REPLACE out and DROP the old one first; CREATE MODEL adds a version",
    ),
    (
        "FUNCTION",
        "functions of Java and Python archives need a JVM, which Weir does not have, and Flink SQL has no functions with a body in SQL: \
         write the expression into a view, or use what SHOW FUNCTIONS lists",
    ),
    ("TOPIC", "a topic is made by CREATE TABLE"),
];

/// What SHOW does not show, and the way out.
const SHOWN: [(&str, &str); 9] = [
    ("COLUMNS", "use DESCRIBE"),
    ("PARTITIONS", "tables have buckets: use SHOW CREATE TABLE"),
    ("MODULES", "there are no modules"),
    ("FULL", "there are no modules"),
    ("JARS", "there are no JARs"),
    ("PROCEDURES", "there are no procedures"),
    (
        "MATERIALIZED",
        "there are no materialized tables: use SHOW TABLES",
    ),
    ("AGENTS", "there are no agents"),
    ("TOOLS", "there are no tools"),
];

/// What is said about a statement that is not supported.
pub(super) fn statement(word: &str) -> Option<String> {
    way_out(&STATEMENTS, word).map(|way_out| format!("the statement {word}: {way_out}"))
}

/// What is said about a word that begins no statement.
pub(super) fn unknown(word: &str) -> String {
    unknown_name("statement", word, KNOWN).message
}

/// The way out of something by its name.
fn way_out(of: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    let found = of.iter().find(|(known, _)| *known == word);
    found.map(|(_, way_out)| *way_out)
}

impl StatementParser<'_> {
    /// Refuses objects that cannot be created, altered or dropped.
    pub(super) fn refuse_object(&self, verb: &str) -> Result<(), ParserError> {
        self.refuse(verb, &OBJECTS)
    }

    /// Refuses what SHOW does not show.
    pub(super) fn refuse_shown(&self, verb: &str) -> Result<(), ParserError> {
        self.refuse(verb, &SHOWN)
    }

    /// Refuses the next word when it is one of these.
    fn refuse(&self, verb: &str, words: &[(&str, &'static str)]) -> Result<(), ParserError> {
        let found = words.iter().find(|(word, _)| peek(&self.inner, 0, word));
        match found {
            None => Ok(()),
            Some((word, way_out)) => fail(
                Code::Unsupported,
                &format!("{verb} {word}: {way_out}"),
                self.inner.peek_token().span,
            ),
        }
    }
}
