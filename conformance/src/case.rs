//! One case: tables with rows, statements, and what must be there in the end.
//!
//! Place in the flow: puts the tables of a case into a catalog, binds its statements one after the other and has their plans executed.
//! Invariant: nothing of the definition of a table is changed but where its rows come from and go to.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_runtime::plan::explain::explain;
use weir_runtime::plan::{Column, NodeId, Operator, SinkTarget, StreamPlan};
use weir_runtime::sql::ast::{Statement, StatementKind};
use weir_runtime::sql::catalog::{Catalog, MemoryCatalog, TableDef};
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, QueryInfo, analyze, parse};
use weir_runtime::{Error, Result};

use crate::execute;
use crate::registry::Registry;
use crate::rows::{self, Source};
use crate::value::missing;

/// The connector that the tables are declared with: it takes no options and any columns.
const DECLARED_CONNECTOR: &str = "blackhole";

/// The connector of tables whose rows are in the case.
const CONNECTOR: &str = "values";

/// Properties of a case that change what a statement means, and their keys in Weir.
const PROPERTIES: [(&str, &str); 5] = [
    ("table.local-time-zone", "sql.local-time-zone"),
    (
        "table.exec.source.cdc-events-duplicate",
        "table.exec.source.cdc-events-duplicate",
    ),
    (
        "table.exec.sink.not-null-enforcer",
        "table.exec.sink.not-null-enforcer",
    ),
    (
        "table.exec.sink.type-length-enforcer",
        "table.exec.sink.type-length-enforcer",
    ),
    (
        "table.exec.sink.nested-constraint-enforcer",
        "table.exec.sink.nested-constraint-enforcer",
    ),
];

/// A case whose statements are bound.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// Tables and views.
    catalog: MemoryCatalog,
    /// Properties.
    session: Session,
    /// Schemas of the records of tables that have them.
    pub(crate) registry: Arc<Registry>,
    /// Tables that results are taken from, by name.
    sinks: Vec<String>,
    /// Tables that are read, with their rows.
    pub(crate) sources: Vec<Source>,
    /// Plans that fill tables before anything is asked of them.
    pub(crate) setup: Vec<StreamPlan>,
    /// Plans whose results are wanted.
    pub(crate) outputs: Vec<Output>,
    /// Plans of its statements as the results show them.
    shown: Vec<Value>,
}

/// A plan with one sink, the results of a job, and whose results they are.
#[derive(Debug)]
pub(crate) struct Output {
    /// `{"sink": name}` or `{"query": index}`.
    pub(crate) label: Value,
    /// What is run.
    pub(crate) plan: StreamPlan,
    /// Columns of the results.
    pub(crate) columns: Vec<Column>,
}

/// Runs a case, whose files of rows are beside `dir`.
///
/// # Errors
/// Why a statement does not bind or its job does not finish.
pub(crate) fn run(case: &Value, dir: &Path) -> Result<Value> {
    let bound = bind(case, dir)?;
    let outputs = execute::run(&bound)?;
    Ok(json!({
        "outputs": outputs,
        "plans": bound.shown,
        "error": null,
    }))
}

/// Binds the statements of a case.
fn bind(case: &Value, dir: &Path) -> Result<Case> {
    let mut bound = Case::default();
    bound
        .session
        .set("sql.current-catalog", "default_catalog")?;
    bound
        .session
        .set("sql.current-database", "default_database")?;
    bound.session.set("sql.local-time-zone", "UTC")?;
    for (name, key) in PROPERTIES {
        if let Some(value) = case["config"][name].as_str() {
            bound.session.set(key, value)?;
        }
    }
    for table in items(case, "tables")? {
        if let Some(ddl) = table["ddl"].as_str() {
            bound.declare(table, ddl, dir)?;
        }
    }
    for sql in items(case, "setup_sql")? {
        bound.set_up(text(sql)?)?;
    }
    // The results of these are those of the query that is inserted.
    let undeclared: Vec<&str> = items(case, "tables")?
        .iter()
        .filter(|table| table["ddl"].is_null())
        .filter_map(|table| table["name"].as_str())
        .collect();
    for (index, sql) in items(case, "statements")?.iter().enumerate() {
        bound.bind(index, inserted(text(sql)?, &undeclared))?;
    }
    Ok(bound)
}

/// A text of the case.
fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| missing("text"))
}

/// The query that an INSERT into one of these tables inserts; other texts as they are.
fn inserted<'a>(sql: &'a str, sinks: &[&str]) -> &'a str {
    let mut rest = sql.trim_start();
    for word in ["INSERT", "INTO"] {
        match rest.get(..word.len()) {
            Some(start) if start.eq_ignore_ascii_case(word) => {
                rest = rest[word.len()..].trim_start();
            }
            _ => return sql,
        }
    }
    let name = rest.split_whitespace().next().unwrap_or("");
    if sinks.contains(&name.trim_matches('`')) {
        &rest[name.len()..]
    } else {
        sql
    }
}

/// A list of a case.
fn items<'a>(case: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    case[key].as_array().ok_or_else(|| missing(key))
}

impl Case {
    /// Puts a table of the case into the catalog.
    fn declare(&mut self, table: &Value, ddl: &str, dir: &Path) -> Result<()> {
        let create = format!("{ddl} WITH ('connector' = '{DECLARED_CONNECTOR}')");
        for statement in &parse(&create)? {
            let bound = analyze(statement, &self.catalog, &self.session)?;
            let Bound::CreateTable { table: mut def, .. } = bound else {
                return Err(Error::internal(format!("not a table: {ddl}")));
            };
            let rows = rows::of(table, dir)?;
            let mode = changelog_mode(table, &rows, !def.primary_key.is_empty());
            def.options = [("connector", CONNECTOR), ("changelog.mode", mode)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            if table["role"] == "sink" {
                self.sinks.push(def.name.name.clone());
            } else {
                self.sources.push(Source::new(&def, &rows, &self.registry)?);
            }
            self.catalog.put_table(def);
        }
        Ok(())
    }

    /// Does what a text of statements asks of the catalog, and keeps the plans that fill tables.
    fn set_up(&mut self, sql: &str) -> Result<()> {
        // What a case creates is gone with it, so that all its views are temporary.
        let sql = sql.replacen("CREATE TEMPORARY VIEW", "CREATE VIEW", 1);
        for statement in &parse(&sql)? {
            match analyze(statement, &self.catalog, &self.session)? {
                Bound::CreateView { view, .. } => self.catalog.put_view(view),
                // Those among the tables of the case are declared already, with a connector that has no system columns.
                Bound::CreateTable { table, .. } if self.catalog.table(&table.name)?.is_none() => {
                    self.sources.push(Source::new(&table, &[], &self.registry)?);
                    self.catalog.put_table(table);
                }
                Bound::Insert(plan, info) => {
                    self.shown.push(shown(&plan, &info)?);
                    self.setup.push(self.over_topics(plan));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Binds a statement whose results are wanted.
    fn bind(&mut self, index: usize, sql: &str) -> Result<()> {
        let mut statements = parse(sql)?;
        // A query of a case with a table for results is written to it.
        if let (
            [
                Statement {
                    kind: StatementKind::Query(_),
                    ..
                },
            ],
            [sink],
        ) = (statements.as_slice(), self.sinks.as_slice())
        {
            statements = parse(&format!("INSERT INTO `{sink}` {sql}"))?;
        }
        for statement in &statements {
            match analyze(statement, &self.catalog, &self.session)? {
                Bound::CreateView { view, .. } => self.catalog.put_view(view),
                Bound::Query(plan, info) | Bound::Insert(plan, info) => {
                    self.shown.push(shown(&plan, &info)?);
                    self.add_outputs(index, &plan);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the plan of a statement apart into one for each of its sinks, whose rows become results.
    fn add_outputs(&mut self, index: usize, plan: &StreamPlan) {
        for node in &plan.nodes {
            let Operator::Sink(sink) = &node.operator else {
                continue;
            };
            let label = match &sink.target {
                SinkTarget::Table(table) => json!({ "sink": table.name.name }),
                SinkTarget::Results => json!({ "query": index }),
            };
            let needed = needed(plan, node.id);
            let part = StreamPlan {
                nodes: plan
                    .nodes
                    .iter()
                    .filter(|node| needed.contains(&node.id))
                    .cloned()
                    .collect(),
                ..plan.clone()
            };
            self.outputs.push(Output {
                label,
                columns: sink.columns.clone(),
                plan: self.over_topics(part),
            });
        }
    }

    /// A plan that reads and writes topics where it had tables of the case, and results where it had its sinks.
    fn over_topics(&self, mut plan: StreamPlan) -> StreamPlan {
        let options = |table: &mut TableDef| {
            if table.option("connector") == Some(CONNECTOR) {
                table.options = rows::topic_options(table);
            }
        };
        for node in &mut plan.nodes {
            match &mut node.operator {
                Operator::TableSourceScan(scan) => options(&mut scan.table),
                Operator::Sink(sink) => match &mut sink.target {
                    SinkTarget::Table(table) if self.sinks.contains(&table.name.name) => {
                        sink.target = SinkTarget::Results;
                    }
                    SinkTarget::Table(table) => options(table),
                    SinkTarget::Results => {}
                },
                _ => {}
            }
        }
        plan
    }
}

/// A node and all that it depends on.
fn needed(plan: &StreamPlan, sink: NodeId) -> BTreeSet<NodeId> {
    let mut needed = BTreeSet::from([sink]);
    // Inputs stand before the nodes that read them.
    for node in plan.nodes.iter().rev() {
        if needed.contains(&node.id) {
            needed.extend(node.inputs.iter().map(|input| input.node));
        }
    }
    needed
}

/// A plan as the results show it, after a check of what holds for every plan: it is read back as it was stored.
fn shown(plan: &StreamPlan, info: &QueryInfo) -> Result<Value> {
    let read = serde_json::from_value::<StreamPlan>(json!(plan))
        .map_err(|error| Error::internal(format!("a plan is not read back: {error}")))?;
    if read != *plan {
        return Err(Error::internal("a plan is read back as another one"));
    }
    let columns = info.columns.iter();
    let columns: Vec<String> = columns.map(|c| format!("{} {}", c.name, c.ty)).collect();
    Ok(json!({
        "explain": explain(plan),
        "columns": columns,
        "is_append_only": info.is_append_only,
    }))
}

/// The changelog mode of a table of a case.
fn changelog_mode(table: &Value, rows: &[Value], has_key: bool) -> &'static str {
    let kinds = table["options"]["changelog-mode"].as_str();
    let is_sink = table["role"] == "sink";
    match kinds {
        Some("I" | "ChangelogMode.insertOnly()") => "append",
        Some("I,UA,D" | "ChangelogMode.upsert()" | "ChangelogMode.upsert") => "upsert",
        Some(_) => "retract",
        None if is_sink && table["options"]["sink-insert-only"] == "true" => "append",
        None if is_sink && has_key => "upsert",
        None if is_sink => "retract",
        None => mode_of_rows(rows, has_key),
    }
}

/// The changelog mode that the rows of a source need.
fn mode_of_rows(rows: &[Value], has_key: bool) -> &'static str {
    let kinds = || rows.iter().map(|row| row["kind"].as_str());
    let has = |wanted: &[&str]| kinds().flatten().any(|kind| wanted.contains(&kind));
    match (has(&["-U"]), has(&["+U", "-D"]), has_key) {
        (false, false, _) => "append",
        (false, true, true) => "upsert",
        (true, ..) | (false, true, false) => "retract",
    }
}
