//! `INFORMATION_SCHEMA`: the catalog as tables.
//!
//! Place in the flow: FROM asks here before it asks the catalog; a view becomes constant rows, so that every query shape works on it.
//! Invariant: rows are those of the moment when the statement is bound, and no secret of an option is shown.
//!
//! # Source
//! Confluent Cloud for Apache Flink: reference of `INFORMATION_SCHEMA`. Truth is `YES` or `NO`; names of catalogs and databases are their
//! ids here.

use super::ddl_text::watermark_text;
use super::literal::constant;
use super::options::is_secret;
use super::query::QueryBinder;
use super::relation::{Draft, Relation};
use super::scan::{has_timestamps, rowtime_type, watermark_of};
use super::traits::Traits;
use crate::error::{Result, unknown_name};
use crate::plan::{ChangelogMode, Column, Operator};
use crate::sql::ast::Name;
use crate::sql::catalog::{ColumnKind, ObjectName, ROWTIME_COLUMN, TableColumn, TableDef};
use crate::sql::expr::{Expr, Literal};
use crate::types::{FlinkType, TypeKind};

/// The database of the views.
const SCHEMA: &str = "INFORMATION_SCHEMA";

/// Name of a table's primary key.
const PRIMARY: &str = "PRIMARY";

/// A view: its name and its columns; those that are numbered are INT, all else is STRING.
type View = (&'static str, &'static [&'static str]);

/// Columns that every row about a table begins with.
macro_rules! of_table {
    ($($column:literal),*) => {
        &["TABLE_CATALOG_ID", "TABLE_CATALOG", "TABLE_SCHEMA_ID", "TABLE_SCHEMA", "TABLE_NAME", $($column),*]
    };
}

/// Every view.
const VIEWS: [View; 8] = [
    ("CATALOGS", &["CATALOG_ID", "CATALOG_NAME"]),
    (
        "INFORMATION_SCHEMA_CATALOG_NAME",
        &["CATALOG_ID", "CATALOG_NAME"],
    ),
    (
        "SCHEMATA",
        &["CATALOG_ID", "CATALOG_NAME", "SCHEMA_ID", "SCHEMA_NAME"],
    ),
    (
        "TABLES",
        of_table!(
            "TABLE_TYPE",
            "IS_DISTRIBUTED",
            "DISTRIBUTION_ALGORITHM",
            "DISTRIBUTION_BUCKETS",
            "IS_WATERMARKED",
            "WATERMARK_COLUMN",
            "WATERMARK_EXPRESSION",
            "WATERMARK_IS_HIDDEN",
            "IS_MATERIALIZED",
            "COMMENT"
        ),
    ),
    (
        "COLUMNS",
        of_table!(
            "COLUMN_NAME",
            "ORDINAL_POSITION",
            "IS_NULLABLE",
            "DATA_TYPE",
            "FULL_DATA_TYPE",
            "IS_HIDDEN",
            "IS_GENERATED",
            "GENERATION_EXPRESSION",
            "IS_METADATA",
            "METADATA_KEY",
            "IS_PERSISTED",
            "DISTRIBUTION_ORDINAL_POSITION",
            "COMMENT"
        ),
    ),
    (
        "KEY_COLUMN_USAGE",
        of_table!("CONSTRAINT_NAME", "COLUMN_NAME", "ORDINAL_POSITION"),
    ),
    (
        "TABLE_CONSTRAINTS",
        of_table!("CONSTRAINT_NAME", "CONSTRAINT_TYPE", "ENFORCED"),
    ),
    ("TABLE_OPTIONS", of_table!("OPTION_KEY", "OPTION_VALUE")),
];

/// A value.
#[derive(Debug, Clone)]
enum Cell {
    /// NULL.
    Null,
    /// STRING.
    Text(String),
    /// INT.
    Number(usize),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// `YES` or `NO`.
fn truth(is_true: bool) -> Cell {
    if is_true { "YES" } else { "NO" }.into()
}

/// The type of a column.
fn type_of(column: &str) -> TypeKind {
    match column {
        "ORDINAL_POSITION" | "DISTRIBUTION_ORDINAL_POSITION" | "DISTRIBUTION_BUCKETS" => {
            TypeKind::Int
        }
        _ => TypeKind::string(),
    }
}

/// The catalog and the view of a name in `INFORMATION_SCHEMA`.
fn parts(name: &Name) -> Option<(Option<&str>, &str)> {
    let is_schema = |part: &str| part.eq_ignore_ascii_case(SCHEMA);
    match name.parts.as_slice() {
        [schema, view] if is_schema(&schema.value) => Some((None, &view.value)),
        [catalog, schema, view] if is_schema(&schema.value) => {
            Some((Some(&catalog.value), &view.value))
        }
        _ => None,
    }
}

/// A table or view, as far as it is listed.
struct Listed {
    /// Its name.
    name: ObjectName,
    /// Its definition, empty for views.
    table: TableDef,
    /// Columns with whether they are hidden.
    columns: Vec<(TableColumn, bool)>,
    /// `BASE TABLE`, `VIEW` or `SYSTEM TABLE`.
    kind: &'static str,
}

impl QueryBinder<'_> {
    /// The rows of a view of `INFORMATION_SCHEMA`; absent when the name is none.
    ///
    /// # Errors
    /// `Invalid` for an unknown view or catalog.
    pub(super) fn information_schema(&mut self, name: &Name) -> Result<Option<Relation>> {
        let Some((catalog, view)) = parts(name) else {
            return Ok(None);
        };
        let catalog = catalog.unwrap_or_else(|| self.session.current_catalog());
        let catalogs = self.catalog.catalog_names();
        if !catalogs.is_empty() && !catalogs.iter().any(|known| known == catalog) {
            let known = catalogs.iter().map(String::as_str);
            return Err(unknown_name("catalog", catalog, known).with_span(name.span()));
        }
        let known = VIEWS
            .iter()
            .find(|(known, _)| view.eq_ignore_ascii_case(known));
        let Some((view, columns)) = known else {
            let known = VIEWS.iter().map(|(name, _)| *name);
            return Err(unknown_name("table", view, known).with_span(name.span()));
        };
        let rows = match *view {
            "CATALOGS" => catalogs.iter().map(|name| twice(name)).collect(),
            "INFORMATION_SCHEMA_CATALOG_NAME" => vec![twice(catalog)],
            "SCHEMATA" => self.schemata(catalog),
            _ => self.of_tables(catalog, view)?,
        };
        Ok(Some(self.constants(view, columns, rows)))
    }

    /// Rows about databases.
    fn schemata(&self, catalog: &str) -> Vec<Vec<Cell>> {
        let databases = self.catalog.database_names(catalog);
        let databases = databases.iter().map(String::as_str).chain([SCHEMA]);
        databases
            .map(|database| [twice(catalog), twice(database)].concat())
            .collect()
    }

    /// Rows about tables.
    fn of_tables(&self, catalog: &str, view: &str) -> Result<Vec<Vec<Cell>>> {
        let mut rows = Vec::new();
        for listed in self.listed(catalog)? {
            let database = &listed.name.database;
            let mut start = [twice(catalog), twice(database)].concat();
            start.push(listed.name.name.as_str().into());
            let ends = match view {
                "TABLES" => vec![about_table(&listed)],
                "COLUMNS" => about_columns(&listed),
                "KEY_COLUMN_USAGE" => about_keys(&listed.table),
                "TABLE_CONSTRAINTS" if listed.table.primary_key.is_empty() => Vec::new(),
                "TABLE_CONSTRAINTS" => {
                    vec![vec![PRIMARY.into(), "PRIMARY KEY".into(), truth(false)]]
                }
                _ => about_options(&listed.table),
            };
            rows.extend(ends.into_iter().map(|end| [start.clone(), end].concat()));
        }
        Ok(rows)
    }

    /// Tables and views of a catalog, and the views of `INFORMATION_SCHEMA` themselves.
    fn listed(&self, catalog: &str) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        for database in self.catalog.database_names(catalog) {
            for name in self.catalog.table_names(catalog, &database)? {
                let name = ObjectName {
                    catalog: catalog.to_owned(),
                    database: database.clone(),
                    name,
                };
                all.extend(self.listed_object(name));
            }
        }
        all.extend(VIEWS.iter().map(|(view, columns)| {
            let columns = columns
                .iter()
                .map(|column| (*column, type_of(column).nullable()));
            let name = ObjectName {
                catalog: catalog.to_owned(),
                database: SCHEMA.to_owned(),
                name: (*view).to_owned(),
            };
            plain(name, columns, "SYSTEM TABLE")
        }));
        Ok(all)
    }

    /// A table or view; nothing for one that is gone meanwhile, and for a topic that is no table.
    fn listed_object(&self, name: ObjectName) -> Option<Listed> {
        if let Some(table) = self.catalog.table(&name).ok().flatten() {
            let table = TableDef::clone(&table);
            let mut columns: Vec<(TableColumn, bool)> = table
                .columns
                .iter()
                .map(|column| (column.clone(), false))
                .collect();
            let is_declared = table
                .columns
                .iter()
                .any(|column| column.name == ROWTIME_COLUMN);
            if has_timestamps(&table) && !is_declared {
                columns.push((rowtime_column(), true));
            }
            return Some(Listed {
                name,
                table,
                columns,
                kind: "BASE TABLE",
            });
        }
        let view = self.catalog.view(&name)?;
        // A view that no longer binds is listed without columns.
        let relation = QueryBinder::new(self.catalog, self.session).view_query(&view.query);
        let fields = relation.map(|relation| relation.fields).unwrap_or_default();
        let fields = fields.iter().filter(|field| !field.hidden).enumerate();
        let columns = fields.map(|(index, field)| {
            let name = view.columns.get(index).unwrap_or(&field.name);
            (name.as_str(), field.expr.ty.clone())
        });
        Some(plain(name, columns, "VIEW"))
    }

    /// A relation of constants.
    fn constants(&mut self, view: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Relation {
        let schema = columns.iter().map(|name| Column {
            name: (*name).to_owned(),
            ty: type_of(name).nullable(),
        });
        let literal = |(cell, column): (Cell, &&str)| {
            let ty = type_of(column).nullable();
            match cell {
                Cell::Null => Expr::literal(Literal::Null, ty),
                Cell::Text(text) => Expr::literal(Literal::String(text), ty),
                Cell::Number(number) => {
                    let number = i64::try_from(number).unwrap_or(i64::MAX);
                    let expr = constant(Literal::Integer(number), TypeKind::Int);
                    Expr { ty, ..expr }
                }
            }
        };
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().zip(columns).map(literal).collect())
            .collect();
        let node = self.builder.add(Draft {
            operator: Operator::Values { rows },
            inputs: Vec::new(),
            schema: schema.collect(),
            changelog: ChangelogMode::Append,
            traits: Traits::default(),
        });
        let mut relation = self.builder.relation(node);
        for field in &mut relation.fields {
            field.qualifier = Some(view.to_owned());
        }
        relation
    }
}

/// An id and the name that is the same.
fn twice(name: &str) -> Vec<Cell> {
    vec![name.into(), name.into()]
}

/// A column that nothing is declared of but its type.
fn physical(name: &str, ty: FlinkType) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        ty,
        kind: ColumnKind::Physical,
        comment: None,
    }
}

/// The system column.
fn rowtime_column() -> TableColumn {
    TableColumn {
        kind: ColumnKind::Metadata {
            key: "timestamp".to_owned(),
            is_virtual: true,
        },
        ..physical(ROWTIME_COLUMN, rowtime_type())
    }
}

/// What has columns and no options.
fn plain<'a>(
    name: ObjectName,
    columns: impl Iterator<Item = (&'a str, FlinkType)>,
    kind: &'static str,
) -> Listed {
    let columns: Vec<TableColumn> = columns.map(|(name, ty)| physical(name, ty)).collect();
    Listed {
        table: TableDef {
            name: name.clone(),
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            distributed_by: Vec::new(),
            buckets: None,
            options: std::collections::BTreeMap::new(),
            comment: None,
        },
        name,
        columns: columns.into_iter().map(|column| (column, false)).collect(),
        kind,
    }
}

/// The end of a row of TABLES.
fn about_table(listed: &Listed) -> Vec<Cell> {
    let table = &listed.table;
    let is_table = listed.kind == "BASE TABLE";
    let watermark = is_table.then(|| watermark_of(table)).flatten();
    let is_distributed = table.buckets.is_some() || !table.distributed_by.is_empty();
    vec![
        listed.kind.into(),
        truth(is_distributed),
        is_distributed.then(|| "HASH".to_owned()).into(),
        table.buckets.map_or(Cell::Null, |buckets| {
            Cell::Number(usize::try_from(buckets).unwrap_or(usize::MAX))
        }),
        truth(watermark.is_some()),
        watermark
            .as_ref()
            .map(|watermark| watermark.column.clone())
            .into(),
        watermark.as_ref().map(watermark_text).into(),
        watermark.as_ref().map_or(Cell::Null, |watermark| {
            truth(
                table
                    .columns
                    .iter()
                    .all(|column| column.name != watermark.column),
            )
        }),
        truth(false),
        table.comment.clone().into(),
    ]
}

/// The ends of rows of COLUMNS.
fn about_columns(listed: &Listed) -> Vec<Vec<Cell>> {
    let row = |(index, (column, is_hidden)): (usize, &(TableColumn, bool))| {
        let full = column.ty.with_nullable(true).long_text();
        let root = full.split(['(', '<']).next().unwrap_or(&full).to_owned();
        let (generated, metadata, is_persisted) = match &column.kind {
            ColumnKind::Physical => (None, None, true),
            ColumnKind::Computed(text) => (Some(text.clone()), None, false),
            ColumnKind::Metadata { key, is_virtual } => (None, Some(key.clone()), !is_virtual),
        };
        let bucket = listed
            .table
            .distributed_by
            .iter()
            .position(|key| *key == column.name);
        vec![
            column.name.as_str().into(),
            Cell::Number(index + 1),
            truth(column.ty.nullable),
            root.as_str().into(),
            full.as_str().into(),
            truth(*is_hidden),
            if generated.is_some() {
                "ALWAYS"
            } else {
                "NEVER"
            }
            .into(),
            generated.into(),
            truth(metadata.is_some()),
            metadata.into(),
            truth(is_persisted),
            bucket.map_or(Cell::Null, |position| Cell::Number(position + 1)),
            column.comment.clone().into(),
        ]
    };
    listed.columns.iter().enumerate().map(row).collect()
}

/// The ends of rows of `KEY_COLUMN_USAGE`.
fn about_keys(table: &TableDef) -> Vec<Vec<Cell>> {
    let keys = table.primary_key.iter().enumerate();
    keys.map(|(index, column)| {
        vec![
            PRIMARY.into(),
            column.as_str().into(),
            Cell::Number(index + 1),
        ]
    })
    .collect()
}

/// The ends of rows of `TABLE_OPTIONS`.
fn about_options(table: &TableDef) -> Vec<Vec<Cell>> {
    let options = table.options.iter();
    options
        .map(|(key, value)| {
            let shown = if is_secret(key) { "******" } else { value };
            vec![key.as_str().into(), shown.into()]
        })
        .collect()
}
