//! SHOW, DESCRIBE and EXPLAIN: answers as rows of text.
//!
//! Place in the flow: statements that only look at the catalog or at a plan. Invariant: names of columns are Confluent's,
//! and no secret of an option is shown.

use super::Bound;
use super::ddl_text::{create_table, create_view, watermark_text};
use super::names::{self, Object};
use super::query::QueryBinder;
use super::scan::{has_timestamps, rowtime_type, watermark_of};
use crate::error::{Error, Result};
use crate::plan::Column;
use crate::sql::ast::{Name, Show};
use crate::sql::catalog::{
    Catalog, ColumnKind, ObjectName, ROWTIME_COLUMN, TableColumn, TableDef, WatermarkDef,
};
use crate::sql::functions;
use crate::sql::session::Session;
use crate::types::{FlinkType, TypeKind};

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
    let (in_catalog, in_database) = (session.current_catalog(), session.current_database());
    let listed = |sql_kind, name: &str, found: Vec<String>| {
        rows(sql_kind, &[name], found.into_iter().map(single).collect())
    };
    let one = |sql_kind, name: &str, value: &str| listed(sql_kind, name, vec![value.to_owned()]);
    // Names are identities too: environments and clusters are named by their ids.
    let with_ids = |found: Vec<String>| {
        let twice = |name: String| vec![Some(name.clone()), Some(name)];
        found.into_iter().map(twice).collect()
    };
    Ok(match show {
        Show::Catalogs => {
            let found = with_ids(catalog.catalog_names());
            rows("SHOW_CATALOGS", &["catalog name", "catalog id"], found)
        }
        Show::Databases => {
            let found = with_ids(catalog.database_names(in_catalog));
            rows("SHOW_DATABASES", &["database name", "database id"], found)
        }
        Show::Tables(pattern) => {
            let all = catalog.table_names(in_catalog, in_database)?;
            listed(
                "SHOW_TABLES",
                "table name",
                matching(all, pattern.as_deref()),
            )
        }
        Show::Views(pattern) => {
            let all = view_names(catalog, session)?;
            listed("SHOW_VIEWS", "view name", matching(all, pattern.as_deref()))
        }
        Show::Functions => listed("SHOW_FUNCTIONS", "function name", function_names()),
        Show::CurrentCatalog => one("SHOW_CURRENT_CATALOG", "current catalog name", in_catalog),
        Show::CurrentDatabase => one(
            "SHOW_CURRENT_DATABASE",
            "current database name",
            in_database,
        ),
        Show::CreateTable(name) => {
            let table = names::table(name, catalog, session)?;
            one(
                "SHOW_CREATE_TABLE",
                "SHOW CREATE TABLE",
                &create_table(&table),
            )
        }
        Show::CreateView(name) => match names::object(name, catalog, session)? {
            Object::View(view) => one("SHOW_CREATE_VIEW", "SHOW CREATE VIEW", &create_view(&view)),
            Object::Table(table) => {
                let message = format!("{} is a table, not a view", table.name);
                return Err(Error::validation(message).with_span(name.span()));
            }
        },
    })
}

/// Views of the current database.
fn view_names(catalog: &dyn Catalog, session: &Session) -> Result<Vec<String>> {
    let (in_catalog, in_database) = (session.current_catalog(), session.current_database());
    let is_view = |name: &String| {
        let name = ObjectName {
            catalog: in_catalog.to_owned(),
            database: in_database.to_owned(),
            name: name.clone(),
        };
        catalog.view(&name).is_some()
    };
    let mut names = catalog.table_names(in_catalog, in_database)?;
    names.retain(is_view);
    Ok(names)
}

/// Functions that have a name, and aggregates.
fn function_names() -> Vec<String> {
    let is_name =
        |name: &&str| name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains(' ');
    let aggregates = ["AVG", "COUNT", "MAX", "MIN", "SUM"];
    let mut found: Vec<&str> = functions::names()
        .into_iter()
        .filter(is_name)
        .chain(aggregates)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(str::to_owned).collect()
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
