//! One case: tables with rows, statements, and what must be there in the end.
//!
//! Place in the flow: puts the tables of a case into a catalog and binds its statements one after the other. Invariant: nothing of the
//! definition of a table is changed but where its rows come from.

use serde_json::{Value, json};
use weir_runtime::plan::StreamPlan;
use weir_runtime::plan::explain::explain;
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, QueryInfo, analyze, parse};
use weir_runtime::{Error, Result};

use crate::value::missing;

/// The connector that the tables are declared with: it takes no options and any columns.
const DECLARED_CONNECTOR: &str = "blackhole";

/// The connector of tables whose rows are in the case.
const CONNECTOR: &str = "values";

/// Properties of a case that change what a statement means, and their keys in Weir.
const PROPERTIES: [(&str, &str); 2] = [
    ("table.local-time-zone", "sql.local-time-zone"),
    (
        "table.exec.sink.not-null-enforcer",
        "table.exec.sink.not-null-enforcer",
    ),
];

/// A case with its tables and views.
#[derive(Debug, Default)]
struct Case {
    /// Tables and views.
    catalog: MemoryCatalog,
    /// Properties.
    session: Session,
    /// Plans of its statements.
    plans: Vec<Value>,
}

/// Runs a case.
///
/// # Errors
/// Why a statement does not bind. When all do, the result says that nothing is executed yet, and has the plans.
pub(crate) fn run(case: &Value) -> Result<Value> {
    let plans = bind(case)?;
    Ok(json!({
        "outputs": [],
        "plans": plans,
        "error": EXECUTION,
    }))
}

/// What a case lacks whose statements all bind, as its result says it.
pub(crate) const EXECUTION: &str = "UNSUPPORTED: execution";

/// Binds the statements of a case; the plans of those that have one.
fn bind(case: &Value) -> Result<Vec<Value>> {
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
            bound.declare(table, ddl)?;
        }
    }
    // The results of these are those of the query that is inserted.
    let sinks: Vec<&str> = items(case, "tables")?
        .iter()
        .filter(|table| table["ddl"].is_null())
        .filter_map(|table| table["name"].as_str())
        .collect();
    for list in ["setup_sql", "statements"] {
        for sql in items(case, list)? {
            let sql = sql.as_str().ok_or_else(|| missing("text"))?;
            bound.run(inserted(sql, &sinks))?;
        }
    }
    Ok(bound.plans)
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
    fn declare(&mut self, table: &Value, ddl: &str) -> Result<()> {
        let create = format!("{ddl} WITH ('connector' = '{DECLARED_CONNECTOR}')");
        for statement in &parse(&create)? {
            let bound = analyze(statement, &self.catalog, &self.session)?;
            let Bound::CreateTable { table: mut def, .. } = bound else {
                return Err(Error::internal(format!("not a table: {ddl}")));
            };
            let mode = changelog_mode(table, !def.primary_key.is_empty());
            def.options = [("connector", CONNECTOR), ("changelog.mode", mode)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            self.catalog.put_table(def);
        }
        Ok(())
    }

    /// Binds a text of statements and does what they ask of the catalog.
    fn run(&mut self, sql: &str) -> Result<()> {
        // What a case creates is gone with it, so that all its views are temporary.
        let sql = sql.replacen("CREATE TEMPORARY VIEW", "CREATE VIEW", 1);
        for statement in &parse(&sql)? {
            match analyze(statement, &self.catalog, &self.session)? {
                Bound::CreateView { view, .. } => self.catalog.put_view(view),
                Bound::CreateTable { table, .. } | Bound::CreateTableAs { table, .. } => {
                    self.catalog.put_table(table);
                }
                Bound::Query(plan, info) | Bound::Insert(plan, info) => {
                    self.plans.push(shown(&plan, &info)?);
                }
                _ => {}
            }
        }
        Ok(())
    }
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
fn changelog_mode(table: &Value, has_key: bool) -> &'static str {
    let kinds = table["options"]["changelog-mode"].as_str();
    let is_sink = table["role"] == "sink";
    match kinds {
        Some("I" | "ChangelogMode.insertOnly()") => "append",
        Some("I,UA,D" | "ChangelogMode.upsert()" | "ChangelogMode.upsert") => "upsert",
        Some(_) => "retract",
        None if is_sink && table["options"]["sink-insert-only"] == "true" => "append",
        None if is_sink && has_key => "upsert",
        None if is_sink => "retract",
        None => mode_of_rows(table, has_key),
    }
}

/// The changelog mode that the rows of a source need.
fn mode_of_rows(table: &Value, has_key: bool) -> &'static str {
    let rows = table["rows"].as_array();
    let kinds = || rows.into_iter().flatten().map(|row| row["kind"].as_str());
    let has = |wanted: &[&str]| kinds().flatten().any(|kind| wanted.contains(&kind));
    match (has(&["-U"]), has(&["+U", "-D"]), has_key) {
        (false, false, _) => "append",
        (false, true, true) => "upsert",
        (true, ..) | (false, true, false) => "retract",
    }
}
