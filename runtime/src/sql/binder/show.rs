//! SHOW, DESCRIBE and EXPLAIN: answers as rows of text.
//!
//! Place in the flow: statements that only look at the catalog or at a plan. Invariant: names of columns are Confluent's,
//! and no secret of an option is shown.

use super::Bound;
use super::ddl_text::{create_model, create_table, create_view, watermark_text};
use super::models;
use super::names::{self, Object};
use super::query::QueryBinder;
use super::scan::{has_timestamps, rowtime_type, watermark_of};
use super::show_functions;
use crate::error::{Error, Result};
use crate::plan::Column;
use crate::sql::ast::{Listed, Listing, Name, Pattern, ResourceKind, Show};
use crate::sql::catalog::{
    Catalog, ColumnKind, ObjectName, ROWTIME_COLUMN, TableColumn, TableDef, WatermarkDef,
};
use crate::sql::resource::ModelVersion;
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
    let one = |sql_kind, name: &str, value: &str| rows(sql_kind, &[name], vec![single(value)]);
    Ok(match show {
        Show::List(what, listing) => return list(*what, listing, catalog, session),
        Show::Jobs => Bound::ShowJobs,
        Show::CurrentCatalog => one(
            "SHOW_CURRENT_CATALOG",
            "current catalog name",
            session.current_catalog(),
        ),
        Show::CurrentDatabase => one(
            "SHOW_CURRENT_DATABASE",
            "current database name",
            session.current_database(),
        ),
        Show::CreateTable(name) => {
            let table = names::table(name, catalog, session)?;
            one(
                "SHOW_CREATE_TABLE",
                "SHOW CREATE TABLE",
                &create_table(&table),
            )
        }
        Show::CreateModel(name) => {
            let versions = models::shown_versions(name, catalog, session)?;
            let text = |(name, version): &(ObjectName, ModelVersion)| {
                single(create_model(name, version, &models::shown_options(version)))
            };
            let found = versions.iter().map(text).collect();
            rows("SHOW_CREATE_MODEL", &["SHOW CREATE MODEL"], found)
        }
        Show::CreateView(name) => {
            let view = names::view(name, catalog, session)?;
            one("SHOW_CREATE_VIEW", "SHOW CREATE VIEW", &create_view(&view))
        }
    })
}

/// Answers the kinds of SHOW that list names.
fn list(
    what: Listed,
    listing: &Listing,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let (of_catalog, of_database) = place_of(what, listing, catalog, session)?;
    let (sql_kind, header, found): (_, &[&str], _) = match what {
        Listed::Catalogs => (
            "SHOW_CATALOGS",
            &["catalog name", "catalog id"],
            catalog.catalog_names(),
        ),
        Listed::Databases => (
            "SHOW_DATABASES",
            &["database name", "database id"],
            catalog.database_names(&of_catalog),
        ),
        Listed::Tables => (
            "SHOW_TABLES",
            &["table name"],
            catalog.table_names(&of_catalog, &of_database)?,
        ),
        Listed::Views => (
            "SHOW_VIEWS",
            &["view name"],
            view_names(catalog, &of_catalog, &of_database)?,
        ),
        Listed::Functions => (
            "SHOW_FUNCTIONS",
            &["function name"],
            show_functions::names(),
        ),
        Listed::UserFunctions => ("SHOW_FUNCTIONS", &["function name"], Vec::new()),
        Listed::Models => (
            "SHOW_MODELS",
            &["Model Name"],
            catalog.resource_names(ResourceKind::Model, &of_catalog, &of_database),
        ),
        Listed::Connections => (
            "SHOW_CONNECTIONS",
            &["Name"],
            catalog.resource_names(ResourceKind::Connection, &of_catalog, &of_database),
        ),
    };
    let found = found.into_iter().filter(|name| {
        listing
            .pattern
            .as_ref()
            .is_none_or(|pattern| fits(name, pattern))
    });
    // Names are identities too: environments and clusters are named by their ids.
    let row = |name: String| vec![Some(name); header.len()];
    Ok(rows(sql_kind, header, found.map(row).collect()))
}

/// The catalog and database of FROM, else the current ones.
fn place_of(
    what: Listed,
    listing: &Listing,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<(String, String)> {
    let mut place = (
        session.current_catalog().to_owned(),
        session.current_database().to_owned(),
    );
    let Some(from) = &listing.from else {
        return Ok(place);
    };
    let parts: Vec<&str> = from.parts.iter().map(|part| part.value.as_str()).collect();
    let checked = match (what, parts.as_slice()) {
        (Listed::Databases, [of_catalog]) => {
            (*of_catalog).clone_into(&mut place.0);
            super::known("catalog", of_catalog, &catalog.catalog_names())
        }
        (Listed::Catalogs | Listed::Databases, _) => {
            Err(Error::validation("databases are shown FROM a catalog"))
        }
        (_, [of_catalog, database]) => {
            place = ((*of_catalog).to_owned(), (*database).to_owned());
            super::known("catalog", of_catalog, &catalog.catalog_names())
        }
        (_, [database]) => {
            (*database).clone_into(&mut place.1);
            Ok(())
        }
        _ => Err(Error::validation("names are shown FROM catalog.database")),
    };
    let has_database = !matches!(what, Listed::Catalogs | Listed::Databases);
    let checked = checked.and_then(|()| {
        if has_database {
            super::known("database", &place.1, &catalog.database_names(&place.0))
        } else {
            Ok(())
        }
    });
    checked.map_err(|error| error.with_span(from.span()))?;
    Ok(place)
}

/// Views of a database.
fn view_names(catalog: &dyn Catalog, of_catalog: &str, database: &str) -> Result<Vec<String>> {
    let is_view = |name: &String| {
        let name = ObjectName {
            catalog: of_catalog.to_owned(),
            database: database.to_owned(),
            name: name.clone(),
        };
        catalog.view(&name).is_some()
    };
    let mut names = catalog.table_names(of_catalog, database)?;
    names.retain(is_view);
    Ok(names)
}

/// Whether a name is as a pattern says.
fn fits(name: &str, pattern: &Pattern) -> bool {
    let is_like = if pattern.ignores_case {
        is_like(&name.to_lowercase(), &pattern.text.to_lowercase())
    } else {
        is_like(name, &pattern.text)
    };
    is_like != pattern.is_negated
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
        Object::Table(table) => describe_table(&table, extended, watermark_of(&table).as_ref()),
        Object::LateRows(table) => describe_table(&table, extended, None),
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
fn describe_table(table: &TableDef, extended: bool, watermark: Option<&WatermarkDef>) -> Vec<Row> {
    let row = |column: &TableColumn| {
        let is_rowtime = watermark.is_some_and(|watermark| watermark.column == column.name);
        let mut row = description(
            &column.name,
            &column.ty,
            is_rowtime,
            extras(table, column, watermark),
        );
        if extended {
            row.push(column.comment.clone());
        }
        row
    };
    let mut described: Vec<Row> = table.columns.iter().map(row).collect();
    if extended && has_timestamps(table) {
        let default = watermark.filter(|watermark| watermark.column == ROWTIME_COLUMN);
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
