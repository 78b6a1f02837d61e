//! Tables and views as the statements that create them.
//!
//! Place in the flow: SHOW CREATE and DESCRIBE. Invariant: the text parses back to the same definition, except for secrets,
//! which are never shown.

use super::options::is_secret;
use super::scan::is_source_watermark;
use crate::plan::Column;
use crate::sql::catalog::{
    ColumnKind, ObjectName, SOURCE_WATERMARK, TableColumn, TableDef, ViewDef, WatermarkDef,
};
use crate::sql::resource::ModelVersion;

/// The statement that creates a table, with its options.
pub(super) fn create_table(table: &TableDef) -> String {
    let mut items: Vec<String> = table.columns.iter().map(column_text).collect();
    if let Some(watermark) = &table.watermark {
        items.push(format!(
            "WATERMARK FOR {} AS {}",
            quoted(&watermark.column),
            watermark_text(watermark)
        ));
    }
    if !table.primary_key.is_empty() {
        items.push(format!(
            "CONSTRAINT `PRIMARY` PRIMARY KEY ({}) NOT ENFORCED",
            list(&table.primary_key)
        ));
    }
    let mut clauses = vec![format!(
        "CREATE TABLE {} (\n  {}\n)",
        table.name,
        items.join(",\n  ")
    )];
    clauses.extend(
        table
            .comment
            .iter()
            .map(|comment| format!("COMMENT {}", text(comment))),
    );
    let by = (!table.distributed_by.is_empty())
        .then(|| format!(" BY HASH({})", list(&table.distributed_by)));
    let into = table
        .buckets
        .map(|buckets| format!(" INTO {buckets} BUCKETS"));
    if by.is_some() || into.is_some() {
        clauses.push(format!(
            "DISTRIBUTED{}{}",
            by.unwrap_or_default(),
            into.unwrap_or_default()
        ));
    }
    let option = |(key, value): (&String, &String)| {
        let shown = if is_secret(key) { "******" } else { value };
        format!("  {} = {}", text(key), text(shown))
    };
    let options: Vec<String> = table.options.iter().map(option).collect();
    clauses.push(format!("WITH (\n{}\n)", options.join(",\n")));
    clauses.join("\n")
}

/// The statement that creates a view.
pub(super) fn create_view(view: &ViewDef) -> String {
    let columns = if view.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", list(&view.columns))
    };
    format!("CREATE VIEW {}{columns}\nAS {}", view.name, view.query)
}

/// The statement that creates a version of a model, with options as they may be shown.
pub(super) fn create_model(
    name: &ObjectName,
    version: &ModelVersion,
    options: &[(String, String)],
) -> String {
    let mut clauses = vec![format!("CREATE MODEL {name}")];
    for (word, columns) in [("INPUT", &version.inputs), ("OUTPUT", &version.outputs)] {
        let column =
            |column: &Column| format!("{} {}", quoted(&column.name), column.ty.long_text());
        let columns: Vec<String> = columns.iter().map(column).collect();
        if !columns.is_empty() {
            clauses.push(format!("{word} ({})", columns.join(", ")));
        }
    }
    let comment = version.comment.iter();
    clauses.extend(comment.map(|comment| format!("COMMENT {}", text(comment))));
    let option = |(key, value): &(String, String)| format!("  {} = {}", text(key), text(value));
    let options: Vec<String> = options.iter().map(option).collect();
    clauses.push(format!("WITH (\n{}\n)", options.join(",\n")));
    clauses.join("\n")
}

/// Identifiers in back-ticks.
fn list(names: &[String]) -> String {
    names
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An identifier in back-ticks.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string in single quotes.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A column as `CREATE TABLE` declares it.
fn column_text(column: &TableColumn) -> String {
    let name = quoted(&column.name);
    let declared = match &column.kind {
        ColumnKind::Physical => format!("{name} {}", column.ty.long_text()),
        ColumnKind::Computed(text) => format!("{name} AS {text}"),
        ColumnKind::Metadata { key, is_virtual } => {
            let from = if *key == column.name {
                String::new()
            } else {
                format!(" FROM {}", text(key))
            };
            let suffix = if *is_virtual { " VIRTUAL" } else { "" };
            format!("{name} {} METADATA{from}{suffix}", column.ty.long_text())
        }
    };
    match &column.comment {
        Some(comment) => format!("{declared} COMMENT {}", text(comment)),
        None => declared,
    }
}

/// A watermark's expression.
pub(super) fn watermark_text(watermark: &WatermarkDef) -> String {
    if is_source_watermark(&watermark.expression) {
        let (name, arguments) = SOURCE_WATERMARK.split_at(SOURCE_WATERMARK.len() - 2);
        return format!("`{name}`{arguments}");
    }
    watermark.expression.clone()
}
