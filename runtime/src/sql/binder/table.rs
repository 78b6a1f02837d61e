//! CREATE TABLE and ALTER TABLE.
//!
//! Place in the flow: turns a parsed declaration into a [`TableDef`]. Invariant: a definition that leaves this file can be
//! planned: its options are known, its columns typed, its key and watermark exist.

use std::collections::BTreeMap;

use super::expression::ExprBinder;
use super::like;
use super::metadata::metadata_column;
use super::names;
use super::options::{self, connector};
use super::relation::{Field, Relation, Using};
use super::scan::{changelog_mode, has_timestamps, rowtime_type, watermark_spec};
use super::table_checks::complete;
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::ChangelogMode;
use crate::sql::ast::{
    AlterTable, ColumnDef, ColumnDefKind, CreateTable, Ident, Literal, Name, TableOption,
    WatermarkDef,
};
use crate::sql::catalog::{self, Catalog, ColumnKind, ROWTIME_COLUMN, TableColumn, TableDef};
use crate::sql::expr::Expr;
use crate::sql::parser::parse_expression;
use crate::sql::session::Session;
use crate::types::{FlinkType, TypeKind};

/// The name of every primary key.
///
/// # Source
/// Confluent: SHOW CREATE TABLE.
const KEY_CONSTRAINT: &str = "PRIMARY";

/// The definition of `CREATE TABLE`; for `AS SELECT` the query gives the columns.
///
/// # Errors
/// `Invalid` and `Unsupported` with the place in the text.
pub(super) fn create(
    create: &CreateTable,
    query: Option<&Relation>,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<TableDef> {
    let base = like::inherited(create, catalog, session)?;
    let mut options = base.options;
    set_options(&mut options, &create.options)?;
    let own_key = create.primary_key.iter().map(|ident| ident.value.clone());
    let own_buckets = create.distribution.as_ref();
    let mut table = TableDef {
        name: names::full_name(&create.name, session),
        columns: base.columns,
        watermark: base.watermark,
        primary_key: base.primary_key.into_iter().chain(own_key).collect(),
        distributed_by: base.distributed_by,
        buckets: own_buckets.map_or(base.buckets, |distribution| distribution.buckets),
        options,
        comment: create.comment.clone(),
    };
    if let Some(query) = query {
        add_query_columns(&mut table, &create.columns, query)?;
    } else {
        add_columns(&mut table, &create.columns)?;
        let place = |column: &TableColumn| {
            let place = base.order.iter().position(|name| *name == column.name);
            place.unwrap_or(usize::MAX)
        };
        table.columns.sort_by_key(place);
    }
    if !table
        .columns
        .iter()
        .any(|column| column.kind == ColumnKind::Physical)
    {
        return Err(
            Error::validation("a table has at least one physical column")
                .with_span(create.name.span()),
        );
    }
    set_key(&mut table, &create.primary_key)?;
    if let Some(distribution) = &create.distribution {
        for ident in &distribution.columns {
            physical(&table, ident)?;
            table.distributed_by.push(ident.value.clone());
        }
    }
    if let Some(watermark) = &create.watermark {
        set_watermark(&mut table, watermark)?;
    }
    complete(&mut table, &create.name)?;
    Ok(table)
}

/// The definition after `ALTER TABLE`.
///
/// # Errors
/// As [`create`].
pub(super) fn alter(
    name: &Name,
    change: &AlterTable,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<TableDef> {
    let mut table = TableDef::clone(&*names::table(name, catalog, session)?);
    match change {
        AlterTable::Set(options) => {
            if let Some(option) = options
                .iter()
                .find(|option| option.key.value == "connector")
            {
                return Err(Error::option("the option 'connector' cannot be changed")
                    .with_span(option.key.span));
            }
            let mut changed = table.options.clone();
            for option in options {
                changed.remove(&option.key.value);
            }
            set_options(&mut changed, options)?;
            table.options = changed;
        }
        AlterTable::Reset(keys) => reset(&mut table, keys)?,
        AlterTable::Add { columns, watermark } => {
            if let Some(column) = columns
                .iter()
                .find(|column| matches!(column.kind, ColumnDefKind::Physical(_)))
            {
                return Err(Error::validation("ALTER TABLE adds only computed and metadata columns: physical columns come from the schema")
                    .with_span(column.name.span));
            }
            add_columns(&mut table, columns)?;
            if let Some(watermark) = watermark {
                if table.watermark.is_some() {
                    return Err(Error::validation(format!(
                        "table {} has a watermark: use MODIFY WATERMARK",
                        table.name
                    ))
                    .with_span(watermark.column.span));
                }
                set_watermark(&mut table, watermark)?;
            }
        }
        AlterTable::AddPrimaryKey(key) => add_key(&mut table, key)?,
        AlterTable::DropPrimaryKey { constraint, span } => {
            drop_key(&mut table, constraint.as_ref()).map_err(|error| error.with_span(*span))?;
        }
        AlterTable::ModifyWatermark(watermark) => set_watermark(&mut table, watermark)?,
        AlterTable::DropWatermark(span) => {
            if table.watermark.take().is_none() {
                return Err(Error::validation(format!(
                    "table {} has no watermark of its own",
                    table.name
                ))
                .with_span(*span));
            }
        }
        AlterTable::DropColumns(columns) => drop_columns(&mut table, columns)?,
    }
    complete(&mut table, name)?;
    Ok(table)
}

/// Adds options, each once.
fn set_options(options: &mut BTreeMap<String, String>, written: &[TableOption]) -> Result<()> {
    for TableOption { key, value } in written {
        if options
            .insert(key.value.clone(), value.value.clone())
            .is_some()
        {
            return Err(
                Error::option(format!("option '{}' is written twice", key.value))
                    .with_span(key.span),
            );
        }
    }
    let connector = connector(options);
    for TableOption { key, value } in written {
        options::check(connector, &key.value, &value.value).map_err(|error| {
            // An unknown name is wrong at the key, everything else at the value.
            let is_name = error.code == crate::error::Code::UnknownName && key.value != "connector";
            error.with_span(if is_name { key.span } else { value.span })
        })?;
    }
    Ok(())
}

/// Removes options.
fn reset(table: &mut TableDef, keys: &[Literal]) -> Result<()> {
    for key in keys {
        if key.value == "connector" {
            return Err(Error::option("the option 'connector' cannot be reset").with_span(key.span));
        }
        if table.options.remove(&key.value).is_none() {
            let names = table.options.keys().map(String::as_str);
            return Err(unknown_name("option", &key.value, names).with_span(key.span));
        }
    }
    Ok(())
}

/// The columns of `CREATE TABLE ... AS SELECT`: those that were declared, then those of the query that were not.
///
/// # Source
/// Flink: CTAS; a declared column of a query's name gives it its type, and other physical ones are NULL.
fn add_query_columns(table: &mut TableDef, declared: &[ColumnDef], query: &Relation) -> Result<()> {
    let of_query = query_columns(query)?;
    for column in declared {
        let is_same = |other: &TableColumn| other.name == column.name.value;
        let is_physical = matches!(column.kind, ColumnDefKind::Physical(_));
        if !is_physical && of_query.iter().any(is_same) {
            return Err(Error::validation(format!(
                "column `{}` is computed or metadata and a column of the query: give the latter another name",
                column.name.value
            ))
            .with_span(column.name.span));
        }
    }
    let physical: Vec<ColumnDef> = declared
        .iter()
        .filter(|column| matches!(column.kind, ColumnDefKind::Physical(_)))
        .cloned()
        .collect();
    add_columns(table, &physical)?;
    for column in of_query {
        if !table.columns.iter().any(|known| known.name == column.name) {
            table.columns.push(column);
        }
    }
    let others: Vec<ColumnDef> = declared
        .iter()
        .filter(|column| !matches!(column.kind, ColumnDefKind::Physical(_)))
        .cloned()
        .collect();
    add_columns(table, &others)?;
    let place = |column: &TableColumn| {
        let mut places = declared.iter();
        let place = places.position(|known| known.name.value == column.name);
        place.unwrap_or(usize::MAX)
    };
    table.columns.sort_by_key(place);
    Ok(())
}

/// Columns of a query's result.
fn query_columns(query: &Relation) -> Result<Vec<TableColumn>> {
    query
        .fields
        .iter()
        .filter(|field| !field.hidden)
        .map(|field| {
            if field.expr.ty.kind == TypeKind::Null {
                return Err(Error::type_mismatch(format!(
                    "column \"{}\" is NULL without a type: add a CAST",
                    field.name
                ))
                .with_span(field.expr.span));
            }
            storable(&field.expr.ty, &field.name)
                .map_err(|error| error.with_span(field.expr.span))?;
            Ok(TableColumn {
                name: field.name.clone(),
                ty: field.expr.ty.clone(),
                kind: ColumnKind::Physical,
                comment: None,
            })
        })
        .collect()
}

/// Refuses types that no format stores.
///
/// # Source
/// Confluent: type mapping, INTERVAL types are unsupported.
fn storable(ty: &FlinkType, name: &str) -> Result<()> {
    match ty.kind {
        TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime => Err(Error::validation(format!(
            "column \"{name}\" of type {ty} cannot be stored"
        ))),
        _ => Ok(()),
    }
}

/// Adds columns; computed ones are typed against the others.
fn add_columns(table: &mut TableDef, columns: &[ColumnDef]) -> Result<()> {
    for column in columns {
        let span = column.name.span;
        if column.name.value == ROWTIME_COLUMN {
            return Err(
                Error::validation(format!("{ROWTIME_COLUMN} is a system column")).with_span(span),
            );
        }
        if table
            .columns
            .iter()
            .any(|other| other.name == column.name.value)
        {
            return Err(Error::validation(format!(
                "column `{}` is declared twice",
                column.name.value
            ))
            .with_span(span));
        }
        let (ty, kind) = match &column.kind {
            ColumnDefKind::Physical(ty) => {
                storable(ty, &column.name.value).map_err(|error| error.with_span(span))?;
                (ty.clone(), ColumnKind::Physical)
            }
            ColumnDefKind::Metadata {
                ty,
                key,
                is_virtual,
            } => {
                let key = key
                    .as_ref()
                    .map_or((column.name.value.as_str(), span), |key| {
                        (key.value.as_str(), key.span)
                    });
                (ty.clone(), metadata_column(table, ty, key, *is_virtual)?)
            }
            // The type is set below, when all other columns are known.
            ColumnDefKind::Computed { text, .. } => (
                TypeKind::Null.nullable(),
                ColumnKind::Computed(text.clone()),
            ),
        };
        table.columns.push(TableColumn {
            name: column.name.value.clone(),
            ty,
            kind,
            comment: column.comment.clone(),
        });
    }
    let fields = column_fields(table, &|column| {
        !matches!(column.kind, ColumnKind::Computed(_))
    });
    for column in columns {
        let ColumnDefKind::Computed { expr, .. } = &column.kind else {
            continue;
        };
        let bound = ExprBinder::new(&fields).bind(expr)?;
        if let Some(declared) = table
            .columns
            .iter_mut()
            .find(|other| other.name == column.name.value)
        {
            declared.ty = bound.ty;
        }
    }
    Ok(())
}

/// The columns of a table as fields of a scope.
fn column_fields(table: &TableDef, is_in_scope: &dyn Fn(&TableColumn) -> bool) -> Vec<Field> {
    let mut fields: Vec<Field> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_in_scope(column))
        .map(|(index, column)| Field {
            name: column.name.clone(),
            qualifier: None,
            expr: Expr::column(index, column.ty.clone()),
            hidden: false,
            using: Using::No,
        })
        .collect();
    if has_timestamps(table) {
        fields.push(Field {
            name: ROWTIME_COLUMN.to_owned(),
            qualifier: None,
            expr: Expr::column(table.columns.len(), rowtime_type()),
            hidden: true,
            using: Using::No,
        });
    }
    fields
}

/// The physical column of a name.
fn physical<'a>(table: &'a TableDef, ident: &Ident) -> Result<&'a TableColumn> {
    let found = table.physical().find(|column| column.name == ident.value);
    found.ok_or_else(|| {
        unknown_name(
            "physical column",
            &ident.value,
            table.physical().map(|column| column.name.as_str()),
        )
        .with_span(ident.span)
    })
}

/// Makes the columns of the primary key NOT NULL.
fn set_key(table: &mut TableDef, key: &[Ident]) -> Result<()> {
    for (index, ident) in key.iter().enumerate() {
        physical(table, ident)?;
        if key[..index].iter().any(|other| other.value == ident.value) {
            return Err(Error::validation(format!(
                "column \"{}\" is in the primary key twice",
                ident.value
            ))
            .with_span(ident.span));
        }
    }
    for column in &mut table.columns {
        if key.iter().any(|ident| ident.value == column.name) {
            column.ty.nullable = false;
        }
    }
    Ok(())
}

/// Adds a primary key. The columns are NOT NULL already, since rows that are there may hold NULL.
fn add_key(table: &mut TableDef, key: &[Ident]) -> Result<()> {
    let span = key.first().map_or_else(Span::default, |ident| ident.span);
    if !table.primary_key.is_empty() {
        return Err(Error::validation(format!(
            "table {} has a primary key: drop it first",
            table.name
        ))
        .with_span(span));
    }
    for ident in key {
        if physical(table, ident)?.ty.nullable {
            return Err(Error::validation(format!(
                "column \"{}\" may be NULL, columns of a primary key are NOT NULL",
                ident.value
            ))
            .with_span(ident.span));
        }
    }
    set_key(table, key)?;
    table.primary_key = key.iter().map(|ident| ident.value.clone()).collect();
    Ok(())
}

/// Drops the primary key.
fn drop_key(table: &mut TableDef, constraint: Option<&Ident>) -> Result<()> {
    if let Some(ident) = constraint.filter(|ident| ident.value != KEY_CONSTRAINT) {
        return Err(
            unknown_name("constraint", &ident.value, [KEY_CONSTRAINT]).with_span(ident.span)
        );
    }
    if table.primary_key.is_empty() {
        return Err(Error::validation(format!(
            "table {} has no primary key",
            table.name
        )));
    }
    if changelog_mode(table)? == ChangelogMode::Upsert {
        return Err(Error::validation(format!(
            "table {} has changelog mode upsert and needs its primary key: set 'changelog.mode' to 'append' or 'retract' first",
            table.name
        )));
    }
    table.primary_key.clear();
    Ok(())
}

/// Sets the watermark.
fn set_watermark(table: &mut TableDef, watermark: &WatermarkDef) -> Result<()> {
    let declared = catalog::WatermarkDef {
        column: watermark.column.value.clone(),
        expression: watermark.text.clone(),
    };
    let fields = column_fields(table, &|_| true);
    // The declared tree has places in the statement, the stored text does not: bind it first for its errors.
    if !super::scan::is_source_watermark(&watermark.text) {
        ExprBinder::new(&fields).bind(&watermark.expr)?;
    }
    watermark_spec(&declared, &fields).map_err(|mut error| {
        error.span = watermark.column.span;
        error
    })?;
    table.watermark = Some(declared);
    Ok(())
}

/// Drops computed and metadata columns that nothing uses.
fn drop_columns(table: &mut TableDef, columns: &[Ident]) -> Result<()> {
    for ident in columns {
        let column = table
            .column(&ident.value)
            .map_err(|error| error.with_span(ident.span))?;
        if column.kind == ColumnKind::Physical {
            return Err(
                Error::validation("ALTER TABLE drops only computed and metadata columns: physical columns come from the schema")
                    .with_span(ident.span),
            );
        }
        table.columns.retain(|column| column.name != ident.value);
    }
    let span = columns
        .first()
        .map_or_else(Span::default, |ident| ident.span);
    let used = |error: Error| Error {
        span,
        ..error.context("a dropped column is used")
    };
    let fields = column_fields(table, &|column| {
        !matches!(column.kind, ColumnKind::Computed(_))
    });
    for column in &table.columns {
        if let ColumnKind::Computed(text) = &column.kind {
            ExprBinder::new(&fields)
                .bind(&parse_expression(text)?)
                .map_err(used)?;
        }
    }
    if let Some(watermark) = &table.watermark {
        watermark_spec(watermark, &column_fields(table, &|_| true)).map_err(used)?;
    }
    Ok(())
}
