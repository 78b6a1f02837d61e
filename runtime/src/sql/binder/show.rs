//! SHOW, DESCRIBE and EXPLAIN: answers as rows of text.
//!
//! Place in the flow: statements that only look at the catalog or at a plan. Invariant: names of columns are Confluent's,
//! and no secret of an option is shown.

use super::Bound;
use super::names::{self, Object};
use super::options::is_secret;
use super::query::QueryBinder;
use super::scan::{has_timestamps, is_source_watermark, rowtime_type, watermark_of};
use crate::error::{Error, Result};
use crate::plan::Column;
use crate::sql::ast::{Name, Show};
use crate::sql::catalog::{
    Catalog, ColumnKind, ROWTIME_COLUMN, SOURCE_WATERMARK, TableColumn, TableDef, WatermarkDef,
};
use crate::sql::functions;
use crate::sql::session::Session;
use crate::types::{FlinkType, MAX_LENGTH, TypeKind};

/// A row of an answer.
type Row = Vec<Option<String>>;

/// An answer.
pub(super) fn rows(sql_kind: &'static str, names: &[&str], rows: Vec<Row>) -> Bound {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        ty: TypeKind::string().nullable(),
    };
    Bound::Rows {
        sql_kind,
        columns: names.iter().map(column).collect(),
        rows,
    }
}

/// One value in a row of its own.
fn single(value: impl Into<String>) -> Row {
    vec![Some(value.into())]
}

/// Answers SHOW.
///
/// # Errors
/// `Invalid` for a name that does not exist.
pub(super) fn show(show: &Show, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    let (current_catalog, current_database) =
        (session.current_catalog(), session.current_database());
    // Names are identities too: environments and clusters are named by their ids.
    let twice = |name: String| vec![Some(name.clone()), Some(name)];
    Ok(match show {
        Show::Catalogs => {
            let found = catalog.catalog_names().into_iter().map(twice).collect();
            rows("SHOW_CATALOGS", &["catalog name", "catalog id"], found)
        }
        Show::Databases => {
            let found = catalog
                .database_names(current_catalog)
                .into_iter()
                .map(twice)
                .collect();
            rows("SHOW_DATABASES", &["database name", "database id"], found)
        }
        Show::Tables(pattern) => {
            let found = matching(
                catalog.table_names(current_catalog, current_database),
                pattern.as_deref(),
            );
            rows(
                "SHOW_TABLES",
                &["table name"],
                found.into_iter().map(single).collect(),
            )
        }
        Show::Views(pattern) => {
            let is_view = |name: &String| {
                let name = crate::sql::catalog::ObjectName {
                    catalog: current_catalog.to_owned(),
                    database: current_database.to_owned(),
                    name: name.clone(),
                };
                catalog.view(&name).is_some()
            };
            let all = catalog
                .table_names(current_catalog, current_database)
                .into_iter()
                .filter(is_view)
                .collect();
            let found = matching(all, pattern.as_deref());
            rows(
                "SHOW_VIEWS",
                &["view name"],
                found.into_iter().map(single).collect(),
            )
        }
        Show::Functions => {
            let is_name = |name: &&str| {
                name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains(' ')
            };
            let aggregates = ["AVG", "COUNT", "MAX", "MIN", "SUM"];
            let mut found: Vec<&str> = functions::names()
                .into_iter()
                .filter(is_name)
                .chain(aggregates)
                .collect();
            found.sort_unstable();
            found.dedup();
            rows(
                "SHOW_FUNCTIONS",
                &["function name"],
                found.into_iter().map(single).collect(),
            )
        }
        Show::CurrentCatalog => rows(
            "SHOW_CURRENT_CATALOG",
            &["current catalog name"],
            vec![single(current_catalog)],
        ),
        Show::CurrentDatabase => rows(
            "SHOW_CURRENT_DATABASE",
            &["current database name"],
            vec![single(current_database)],
        ),
        Show::CreateTable(name) => {
            let table = names::table(name, catalog, session)?;
            rows(
                "SHOW_CREATE_TABLE",
                &["SHOW CREATE TABLE"],
                vec![single(create_table(&table))],
            )
        }
        Show::CreateView(name) => match names::object(name, catalog, session)? {
            Object::View(view) => {
                let columns: Vec<String> =
                    view.columns.iter().map(|column| quoted(column)).collect();
                let columns = if columns.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", columns.join(", "))
                };
                let text = format!("CREATE VIEW {}{columns}\nAS {}", view.name, view.query);
                rows(
                    "SHOW_CREATE_VIEW",
                    &["SHOW CREATE VIEW"],
                    vec![single(text)],
                )
            }
            Object::Table(table) => {
                return Err(
                    Error::validation(format!("{} is a table, not a view", table.name))
                        .with_span(name.span()),
                );
            }
        },
    })
}

/// Names that fit a LIKE pattern.
fn matching(names: Vec<String>, pattern: Option<&str>) -> Vec<String> {
    match pattern {
        None => names,
        Some(pattern) => names
            .into_iter()
            .filter(|name| is_like(name, pattern))
            .collect(),
    }
}

/// LIKE with `%` and `_`.
fn is_like(text: &str, pattern: &str) -> bool {
    // Positions of the text where the pattern so far may end.
    let text: Vec<char> = text.chars().collect();
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for wanted in pattern.chars() {
        let mut next = vec![false; ends.len()];
        for position in 0..ends.len() {
            next[position] = match wanted {
                '%' => ends[position] || (position > 0 && next[position - 1]),
                wanted => {
                    position > 0
                        && ends[position - 1]
                        && (wanted == '_' || wanted == text[position - 1])
                }
            };
        }
        ends = next;
    }
    ends[text.len()]
}

/// Answers DESCRIBE.
///
/// # Errors
/// `Invalid` for a name that does not exist or a view that no longer binds.
pub(super) fn describe(
    name: &Name,
    extended: bool,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let mut names = vec!["Column Name", "Data Type", "Nullable", "Extras"];
    if extended {
        names.push("Comment");
    }
    let described = match names::object(name, catalog, session)? {
        Object::Table(table) => describe_table(&table, extended),
        Object::View(view) => {
            let relation = QueryBinder::new(catalog, session).view_query(&view.query)?;
            let fields = relation
                .fields
                .iter()
                .enumerate()
                .filter(|(_, field)| !field.hidden);
            let row = |(index, field): (usize, &super::relation::Field)| {
                let name = view.columns.get(index).unwrap_or(&field.name);
                let mut row = description(name, &field.expr.ty, false, String::new());
                row.resize(names.len(), None);
                row
            };
            fields.map(row).collect()
        }
    };
    Ok(rows("DESCRIBE", &names, described))
}

/// Rows about the columns of a table.
fn describe_table(table: &TableDef, extended: bool) -> Vec<Row> {
    let watermark = watermark_of(table);
    let row = |column: &TableColumn| {
        let is_rowtime = watermark
            .as_ref()
            .is_some_and(|watermark| watermark.column == column.name);
        let mut row = description(
            &column.name,
            &column.ty,
            is_rowtime,
            extras(table, column, watermark.as_ref()),
        );
        if extended {
            row.push(column.comment.clone());
        }
        row
    };
    let mut described: Vec<Row> = table.columns.iter().map(row).collect();
    if extended && has_timestamps(table) {
        let default = watermark
            .as_ref()
            .filter(|watermark| watermark.column == ROWTIME_COLUMN);
        let extras = match default {
            Some(watermark) => format!(
                "METADATA VIRTUAL, WATERMARK AS {}",
                watermark_text(watermark)
            ),
            None => "METADATA VIRTUAL".to_owned(),
        };
        let mut row = description(ROWTIME_COLUMN, &rowtime_type(), default.is_some(), extras);
        row.push(Some("SYSTEM".to_owned()));
        described.push(row);
    }
    described
}

/// A row about a column.
fn description(name: &str, ty: &FlinkType, is_rowtime: bool, extras: String) -> Row {
    let rowtime = if is_rowtime { " *ROWTIME*" } else { "" };
    let nullable = if ty.nullable { "NULL" } else { "NOT NULL" };
    vec![
        Some(name.to_owned()),
        Some(format!("{}{rowtime}", ty.kind)),
        Some(nullable.to_owned()),
        Some(extras),
    ]
}

/// What else there is to say about a column.
fn extras(table: &TableDef, column: &TableColumn, watermark: Option<&WatermarkDef>) -> String {
    let mut extras = Vec::new();
    if table.primary_key.contains(&column.name) {
        extras.push("PRIMARY KEY".to_owned());
    }
    if table.distributed_by.contains(&column.name) {
        extras.push("BUCKET KEY".to_owned());
    }
    match &column.kind {
        ColumnKind::Physical => {}
        ColumnKind::Computed(text) => extras.push(format!("AS {text}")),
        ColumnKind::Metadata { key, is_virtual } => {
            let from = if *key == column.name {
                String::new()
            } else {
                format!(" FROM '{key}'")
            };
            let suffix = if *is_virtual { " VIRTUAL" } else { "" };
            extras.push(format!("METADATA{from}{suffix}"));
        }
    }
    if let Some(watermark) = watermark.filter(|watermark| watermark.column == column.name) {
        extras.push(format!("WATERMARK AS {}", watermark_text(watermark)));
    }
    extras.join(", ")
}

/// A watermark's expression.
fn watermark_text(watermark: &WatermarkDef) -> String {
    if is_source_watermark(&watermark.expression) {
        let (name, arguments) = SOURCE_WATERMARK.split_at(SOURCE_WATERMARK.len() - 2);
        return format!("`{name}`{arguments}");
    }
    watermark.expression.clone()
}

/// An identifier in back-ticks.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string in single quotes.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The statement that creates a table, with its options.
fn create_table(table: &TableDef) -> String {
    let mut items: Vec<String> = table.columns.iter().map(column_text).collect();
    if let Some(watermark) = &table.watermark {
        items.push(format!(
            "WATERMARK FOR {} AS {}",
            quoted(&watermark.column),
            watermark_text(watermark)
        ));
    }
    let list = |columns: &[String]| {
        columns
            .iter()
            .map(|column| quoted(column))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !table.primary_key.is_empty() {
        items.push(format!(
            "CONSTRAINT `PRIMARY` PRIMARY KEY ({}) NOT ENFORCED",
            list(&table.primary_key)
        ));
    }
    let mut statement = format!(
        "CREATE TABLE {} (\n  {}\n)",
        table.name,
        items.join(",\n  ")
    );
    if let Some(comment) = &table.comment {
        statement.push_str(&format!("\nCOMMENT {}", text(comment)));
    }
    if !table.distributed_by.is_empty() || table.buckets.is_some() {
        statement.push_str("\nDISTRIBUTED");
        if !table.distributed_by.is_empty() {
            statement.push_str(&format!(" BY HASH({})", list(&table.distributed_by)));
        }
        if let Some(buckets) = table.buckets {
            statement.push_str(&format!(" INTO {buckets} BUCKETS"));
        }
    }
    let option = |(key, value): (&String, &String)| {
        let shown = if is_secret(key) { "******" } else { value };
        format!("  {} = {}", text(key), text(shown))
    };
    let options: Vec<String> = table.options.iter().map(option).collect();
    statement.push_str(&format!("\nWITH (\n{}\n)", options.join(",\n")));
    statement
}

/// A column as `CREATE TABLE` declares it.
fn column_text(column: &TableColumn) -> String {
    let name = quoted(&column.name);
    let declared = match &column.kind {
        ColumnKind::Physical => format!("{name} {}", type_text(&column.ty)),
        ColumnKind::Computed(text) => format!("{name} AS {text}"),
        ColumnKind::Metadata { key, is_virtual } => {
            let from = if *key == column.name {
                String::new()
            } else {
                format!(" FROM {}", text(key))
            };
            let suffix = if *is_virtual { " VIRTUAL" } else { "" };
            format!("{name} {} METADATA{from}{suffix}", type_text(&column.ty))
        }
    };
    match &column.comment {
        Some(comment) => format!("{declared} COMMENT {}", text(comment)),
        None => declared,
    }
}

/// A type in the long form that SHOW CREATE TABLE prints.
///
/// # Source
/// Flink: `LogicalType.asSerializableString`.
fn type_text(ty: &FlinkType) -> String {
    let kind = match &ty.kind {
        TypeKind::VarChar(MAX_LENGTH) => format!("VARCHAR({MAX_LENGTH})"),
        TypeKind::VarBinary(MAX_LENGTH) => format!("VARBINARY({MAX_LENGTH})"),
        TypeKind::TimestampLtz(p) => format!("TIMESTAMP({p}) WITH LOCAL TIME ZONE"),
        TypeKind::Array(element) => format!("ARRAY<{}>", type_text(element)),
        TypeKind::Multiset(element) => format!("MULTISET<{}>", type_text(element)),
        TypeKind::Map(key, value) => format!("MAP<{}, {}>", type_text(key), type_text(value)),
        TypeKind::Row(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", quoted(&field.name), type_text(&field.ty)))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        kind => kind.to_string(),
    };
    if ty.nullable {
        kind
    } else {
        format!("{kind} NOT NULL")
    }
}
