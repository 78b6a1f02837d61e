//! One expression over one row.
//!
//! Place in the flow: binds `SELECT expression FROM` a table with the fields of the case, and evaluates what the plan computes. Where the
//! case says in which form its result was taken (`CAST(expr AS STRING)`), the form is evaluated. Invariant: value and type are those of
//! the query's one column.

use serde_json::{Value, json};
use weir_runtime::plan::{Operator, StreamPlan};
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::eval::{EvalContext, Evaluator};
use weir_runtime::sql::expr::Expr;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, QueryInfo, analyze, parse};
use weir_runtime::{Batch, Error, FlinkType, Result, TypeKind};

use crate::value::{array, missing, natural};

/// The table of the fields.
const TABLE: &str = "fields";

/// Wall time of the evaluation, milliseconds: no result depends on it.
const NOW_MS: i64 = 1_700_000_000_000;

/// Runs a case.
///
/// # Errors
/// Why the expression does not bind or cannot be evaluated.
pub(crate) fn run(case: &Value) -> Result<Value> {
    let fields = case["fields"].as_array().ok_or_else(|| missing("fields"))?;
    let zone = case["local_time_zone"].as_str().unwrap_or("UTC");
    let mut session = Session::default();
    session.set("sql.local-time-zone", zone)?;
    let sql = case["sql"].as_str().ok_or_else(|| missing("sql"))?;
    let sql = match case["as"].as_str() {
        Some(form) => form.replace("expr", sql),
        None => sql.to_owned(),
    };
    let (plan, info) = plan(fields, &sql, &session)?;
    let column = info.columns.first().ok_or_else(|| missing("a column"))?;
    let ty = column.ty.to_string();
    let (expr, batch) = computation(&plan, fields)?;
    let context = EvalContext {
        now_ms: NOW_MS,
        watermark_ms: None,
    };
    let values = Evaluator::compile(expr, zone)?.eval(&batch, &context)?;
    let value = natural(&values, 0, &column.ty)?;
    Ok(json!({ "value": value, "type": ty, "error": null }))
}

/// The plan of the query.
fn plan(fields: &[Value], sql: &str, session: &Session) -> Result<(StreamPlan, QueryInfo)> {
    let mut catalog = MemoryCatalog::new();
    let columns: Vec<String> = fields.iter().map(declaration).collect();
    let columns = if columns.is_empty() {
        "`unused` INT".to_owned()
    } else {
        columns.join(", ")
    };
    let create = format!("CREATE TABLE {TABLE} ({columns}) WITH ('connector' = 'blackhole')");
    let query = format!("SELECT {sql} FROM {TABLE}");
    for statement in parse(&create)?.iter().chain(&parse(&query)?) {
        match analyze(statement, &catalog, session)? {
            Bound::CreateTable { mut table, .. } => {
                // What connects it does not matter, but a blackhole is not read.
                table.options.clear();
                for (column, field) in table.columns.iter_mut().zip(fields) {
                    column.ty = interval(field).unwrap_or_else(|| column.ty.clone());
                }
                catalog.put_table(table);
            }
            Bound::Query(plan, info) => return Ok((plan, info)),
            other => return Err(Error::internal(format!("not a query: {other:?}"))),
        }
    }
    Err(missing("a query"))
}

/// The type of a field that no table stores.
fn interval(field: &Value) -> Option<FlinkType> {
    let text = field["type"].as_str()?;
    let units = text.strip_prefix("INTERVAL ")?;
    let kind = if units.starts_with("YEAR") || units.starts_with("MONTH") {
        TypeKind::IntervalYearMonth
    } else {
        TypeKind::IntervalDayTime
    };
    let ty = kind.nullable();
    Some(ty.with_nullable(!text.ends_with("NOT NULL")))
}

/// A field as a column of CREATE TABLE. The types of some are only implied by their values, and intervals are declared later.
fn declaration(field: &Value) -> String {
    let name = field["name"].as_str().unwrap_or("");
    if interval(field).is_some() {
        return format!("`{name}` INT");
    }
    let ty = field["type"].as_str().unwrap_or(match &field["value"] {
        Value::Bool(_) => "BOOLEAN NOT NULL",
        Value::Number(_) => "INT NOT NULL",
        _ => "STRING NOT NULL",
    });
    format!("`{name}` {ty}")
}

/// What the plan computes, and the row that it is computed over.
fn computation<'a>(plan: &'a StreamPlan, fields: &[Value]) -> Result<(&'a Expr, Batch)> {
    let projection = plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::Calc { projections, .. } => projections.first(),
        Operator::Values { rows } => rows.first()?.first(),
        Operator::TableSourceScan(scan) => scan.projections.as_ref()?.first(),
        _ => None,
    });
    let scan = plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::TableSourceScan(scan) => Some(scan),
        _ => None,
    });
    let read = scan.map_or(&[][..], |scan| &scan.read);
    let columns = read.iter().map(|column| {
        let field = fields.iter().find(|field| field["name"] == column.name);
        let value = field.map_or(&Value::Null, |field| &field["value"]);
        array(&column.ty, &[value])
    });
    let batch = Batch::inserts(columns.collect::<Result<_>>()?, 1);
    let expr = projection.ok_or_else(|| Error::internal(format!("nothing is computed: {plan:?}")));
    Ok((expr?, batch))
}
