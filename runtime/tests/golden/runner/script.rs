//! `query.sql`: tables and the plans of its INSERT statements.
//!
//! Place in the flow: bound once per case, as the server binds statements one after the other. Invariant: a table without a connector
//! is a topic of the embedded log in plain JSON; nothing else of the text is changed.

use std::collections::BTreeSet;

use weir_runtime::Error;
use weir_runtime::dlq::{ErrorHandling, Mode, error_log_columns};
use weir_runtime::error::Span;
use weir_runtime::plan::{Operator, SinkTarget, StreamPlan};
use weir_runtime::sql::ast::{CreateTable, Literal, StatementKind, TableOption};
use weir_runtime::sql::catalog::{MemoryCatalog, ObjectName, TableDef};
use weir_runtime::sql::session::{Session, parse_duration};
use weir_runtime::sql::{Bound, analyze, parse};
use weir_runtime::task::IdleTimeout;

/// Format of tables that name none.
const VALUE_FORMAT: (&str, &str) = ("value.format", "json");

/// A bound script.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Tables in the order they were made, error tables last.
    pub(crate) tables: Vec<TableDef>,
    /// Names of the error tables.
    pub(crate) error_tables: BTreeSet<String>,
    /// One plan per INSERT or statement set.
    pub(crate) plans: Vec<StreamPlan>,
    /// When splits become idle.
    pub(crate) idle_timeout: IdleTimeout,
}

impl Script {
    /// Binds a text.
    ///
    /// # Errors
    /// What the first wrong statement is told, which may be what the case expects.
    pub(crate) fn bind(sql: &str) -> Result<Self, Error> {
        let (mut catalog, mut session) = (MemoryCatalog::new(), Session::default());
        let mut script = Self::default();
        for mut statement in parse(sql)? {
            if let StatementKind::CreateTable(create) = &mut statement.kind {
                set_format(create);
            }
            match analyze(&statement, &catalog, &session)? {
                Bound::CreateTable { table, .. } => {
                    catalog.put_table(table.clone());
                    script.tables.push(table);
                }
                Bound::CreateView { view, .. } => catalog.put_view(view),
                Bound::Insert(plan, _) => script.plans.push(plan),
                Bound::Set { key, value } => session.set(&key, &value)?,
                _ => {
                    return Err(Error::unsupported(format!(
                        "in a golden case: {}",
                        statement.text
                    )));
                }
            }
        }
        let timeout = session.get("sql.tables.scan.idle-timeout");
        if let Some(timeout) = timeout.and_then(parse_duration) {
            script.idle_timeout = IdleTimeout::Fixed(timeout);
        }
        script.add_error_tables()?;
        Ok(script)
    }

    /// Tables that the plans write, and the error tables.
    pub(crate) fn written(&self) -> impl Iterator<Item = &TableDef> {
        let nodes = self.plans.iter().flat_map(|plan| &plan.nodes);
        let sinks: BTreeSet<&ObjectName> = nodes
            .filter_map(|node| match &node.operator {
                Operator::Sink(sink) => match &sink.target {
                    SinkTarget::Table(table) => Some(&table.name),
                    SinkTarget::Results => None,
                },
                _ => None,
            })
            .collect();
        self.tables.iter().filter(move |table| {
            sinks.contains(&table.name) || self.error_tables.contains(&table.name.name)
        })
    }

    /// Adds the error tables that tables ask for, as the server does when it makes a table.
    fn add_error_tables(&mut self) -> Result<(), Error> {
        let mut targets = BTreeSet::new();
        for table in &self.tables {
            let handling = ErrorHandling::parse(table)?;
            if handling.mode == Mode::Log {
                targets.insert(ObjectName {
                    name: handling.target,
                    ..table.name.clone()
                });
            }
        }
        for name in targets {
            self.error_tables.insert(name.name.clone());
            self.tables.push(error_table(name));
        }
        Ok(())
    }
}

/// The definition of an error table.
pub(crate) fn error_table(name: ObjectName) -> TableDef {
    let options = [("connector", "confluent"), VALUE_FORMAT];
    TableDef {
        name,
        columns: error_log_columns(),
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options: options
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        comment: None,
    }
}

/// Makes a table that names neither connector nor format one of plain JSON.
fn set_format(create: &mut CreateTable) {
    let is_set = |key: &str| create.options.iter().any(|option| option.key.value == key);
    if is_set("connector") || is_set(VALUE_FORMAT.0) {
        return;
    }
    let literal = |value: &str| Literal {
        value: value.to_owned(),
        span: Span::default(),
    };
    create.options.push(TableOption {
        key: literal(VALUE_FORMAT.0),
        value: literal(VALUE_FORMAT.1),
    });
}
