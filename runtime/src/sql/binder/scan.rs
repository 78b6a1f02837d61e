//! Tables as sources.
//!
//! Place in the flow: FROM makes a scan of all columns of a table; pruning leaves what the statement needs. Invariant: a
//! table that occurs several times in a statement, with the same hints, is one scan.

use super::expression::ExprBinder;
use super::options::{DEFAULT_CONNECTOR, connector};
use super::over::exchange;
use super::relation::{Draft, Field, PlanBuilder, Relation, Using};
use super::table_format::carries_changes;
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{
    ChangelogMode, Column, Input, NodeId, Operator, ReadColumn, Scan, WatermarkSpec,
};
use crate::sql::catalog::{
    ColumnKind, ROWTIME_COLUMN, SOURCE_WATERMARK, TableColumn, TableDef, WatermarkDef,
};
use crate::sql::expr::Expr;
use crate::sql::parser::parse_expression;
use crate::types::{FlinkType, TypeKind};

/// Metadata key of a record's timestamp.
const TIMESTAMP_KEY: &str = "timestamp";

/// Type of the system column `$rowtime`.
///
/// # Source
/// Confluent: system columns of tables.
pub(super) fn rowtime_type() -> FlinkType {
    TypeKind::TimestampLtz(3).not_null()
}

/// Whether records of a table carry a timestamp.
pub(super) fn has_timestamps(table: &TableDef) -> bool {
    ["confluent", "kafka", "upsert-kafka"].contains(&connector(&table.options))
}

/// The watermark of a table: the declared one, else Confluent's default where it applies.
pub(super) fn watermark_of(table: &TableDef) -> Option<WatermarkDef> {
    let default = || {
        (connector(&table.options) == DEFAULT_CONNECTOR).then(|| WatermarkDef {
            column: ROWTIME_COLUMN.to_owned(),
            expression: SOURCE_WATERMARK.to_owned(),
        })
    };
    table.watermark.clone().or_else(default)
}

/// Whether a watermark expression asks for the default strategy.
pub(super) fn is_source_watermark(expression: &str) -> bool {
    let bare: String = expression
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '`')
        .collect();
    bare.eq_ignore_ascii_case(SOURCE_WATERMARK)
}

/// The kinds of change that a table's source emits and its sink takes.
///
/// # Errors
/// `Invalid` for a mode that the table cannot have.
pub fn changelog_mode(table: &TableDef) -> Result<ChangelogMode> {
    let has_key = !table.primary_key.is_empty();
    let derived = match connector(&table.options) {
        "upsert-kafka" => ChangelogMode::Upsert,
        _ if carries_changes(table) => ChangelogMode::Retract,
        "confluent" | "faker" if has_key => ChangelogMode::Upsert,
        _ => ChangelogMode::Append,
    };
    let mode = match table
        .option("changelog.mode")
        .map(str::to_lowercase)
        .as_deref()
    {
        None => derived,
        Some("append") => ChangelogMode::Append,
        Some("upsert") => ChangelogMode::Upsert,
        Some("retract") => ChangelogMode::Retract,
        Some(other) => {
            return Err(Error::option(format!(
                "option 'changelog.mode': \"{other}\" is not one of append, upsert, retract"
            )));
        }
    };
    if mode == ChangelogMode::Upsert && !has_key {
        return Err(Error::validation(format!(
            "table {} has changelog mode upsert and needs a PRIMARY KEY",
            table.name
        )));
    }
    Ok(mode)
}

impl PlanBuilder {
    /// The scan of a table, with all its columns.
    ///
    /// # Errors
    /// `Invalid` for tables that cannot be read.
    pub(super) fn scan(&mut self, table: &TableDef) -> Result<Relation> {
        let known = self.scans.iter().find(|(other, _)| other == table);
        if let Some((_, relation)) = known {
            return Ok(relation.clone());
        }
        if let sink @ ("print" | "blackhole") = connector(&table.options) {
            return Err(Error::validation(format!(
                "table {} cannot be read: connector '{sink}' is only a sink",
                table.name
            )));
        }
        let changelog = changelog_mode(table)?;
        let columns = source_columns(table);
        let read: Vec<ReadColumn> = columns.iter().filter_map(read_column).collect();
        let projections = projections(table, &columns, &read)?;
        let fields = fields(&columns, table);
        let watermark = watermark_of(table)
            .map(|watermark| watermark_spec(&watermark, &fields))
            .transpose()
            .map_err(|error| error.context(&format!("watermark of table {}", table.name)))?;
        let mut traits = Traits::of_rowtime(watermark.as_ref().map(|spec| spec.rowtime));
        let is_proctime = |expr: &Expr| Traits::default().domain_of(expr).is_some();
        for (index, expr) in projections.iter().flatten().enumerate() {
            if is_proctime(expr) {
                traits.proctimes.insert(index);
            }
        }
        let key: Option<Vec<usize>> = table
            .primary_key
            .iter()
            .map(|key| columns.iter().position(|column| column.name == *key))
            .collect();
        let key = key.filter(|key| !key.is_empty());
        if let Some(key) = &key {
            traits.add_key(key.clone());
        }
        let schema = columns.iter().map(|column| Column {
            name: column.name.clone(),
            ty: column.ty.clone(),
        });
        let draft = Draft {
            schema: schema.collect(),
            inputs: Vec::new(),
            changelog,
            traits: traits.clone(),
            operator: Operator::TableSourceScan(Scan {
                table: table.clone(),
                read,
                projections,
                watermark,
            }),
        };
        let mut base = self.add(draft);
        if let (ChangelogMode::Upsert, Some(keys)) = (changelog, key) {
            base = self.normalized(base, keys, traits);
        }
        let relation = Relation {
            base,
            window: None,
            condition: None,
            correlated: Vec::new(),
            zeros: Vec::new(),
            fields,
        };
        self.scans.push((table.clone(), relation.clone()));
        Ok(relation)
    }
}

impl PlanBuilder {
    /// Adds the node that gives every update its old row.
    ///
    /// # Source
    /// Flink: `ChangelogNormalize` behind sources of upserts.
    fn normalized(&mut self, scan: NodeId, keys: Vec<usize>, traits: Traits) -> NodeId {
        let draft = Draft {
            inputs: vec![Input {
                node: scan,
                exchange: exchange(&keys),
            }],
            schema: self.node(scan).schema.clone(),
            changelog: ChangelogMode::Retract,
            traits,
            operator: Operator::ChangelogNormalize {
                keys,
                condition: None,
            },
        };
        self.add(draft)
    }
}

/// Columns of a table with the system column.
fn source_columns(table: &TableDef) -> Vec<TableColumn> {
    let mut columns = table.columns.clone();
    if has_timestamps(table)
        && table
            .columns
            .iter()
            .all(|column| column.name != ROWTIME_COLUMN)
    {
        columns.push(TableColumn {
            name: ROWTIME_COLUMN.to_owned(),
            ty: rowtime_type(),
            kind: ColumnKind::Metadata {
                key: TIMESTAMP_KEY.to_owned(),
                is_virtual: true,
            },
            comment: None,
        });
    }
    columns
}

/// What is read for a column; nothing for computed ones.
fn read_column(column: &TableColumn) -> Option<ReadColumn> {
    let metadata = match &column.kind {
        ColumnKind::Computed(_) => return None,
        ColumnKind::Physical => None,
        ColumnKind::Metadata { key, .. } => Some(key.clone()),
    };
    Some(ReadColumn {
        name: column.name.clone(),
        ty: column.ty.clone(),
        metadata,
    })
}

/// Fields over a scan's output columns.
fn fields(columns: &[TableColumn], table: &TableDef) -> Vec<Field> {
    columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field {
            name: column.name.clone(),
            qualifier: Some(table.name.name.clone()),
            expr: Expr::column(index, column.ty.clone()),
            hidden: column.name == ROWTIME_COLUMN,
            using: Using::No,
        })
        .collect()
}

/// Output columns over the read ones; absent when they are the same.
fn projections(
    table: &TableDef,
    columns: &[TableColumn],
    read: &[ReadColumn],
) -> Result<Option<Vec<Expr>>> {
    if read.len() == columns.len() {
        return Ok(None);
    }
    let over_read: Vec<Field> = read
        .iter()
        .enumerate()
        .map(|(index, column)| Field {
            name: column.name.clone(),
            qualifier: None,
            expr: Expr::column(index, column.ty.clone()),
            hidden: false,
            using: Using::No,
        })
        .collect();
    let mut next = 0;
    let projection = |column: &TableColumn| match &column.kind {
        ColumnKind::Computed(text) => parse_expression(text)
            .and_then(|ast| ExprBinder::new(&over_read).bind(&ast))
            .map_err(|error| {
                error.context(&format!(
                    "computed column \"{}\" of table {}",
                    column.name, table.name
                ))
            }),
        ColumnKind::Physical | ColumnKind::Metadata { .. } => {
            next += 1;
            Ok(Expr::column(next - 1, column.ty.clone()))
        }
    };
    columns
        .iter()
        .map(projection)
        .collect::<Result<_>>()
        .map(Some)
}

/// A watermark over a scan's output columns.
///
/// # Errors
/// `Invalid` for a column that does not exist or cannot be a time attribute, and for an expression of another type.
pub(super) fn watermark_spec(watermark: &WatermarkDef, fields: &[Field]) -> Result<WatermarkSpec> {
    let rowtime = fields
        .iter()
        .position(|field| field.name == watermark.column)
        .ok_or_else(|| {
            crate::error::unknown_name(
                "column",
                &watermark.column,
                fields.iter().map(|field| field.name.as_str()),
            )
        })?;
    let ty = &fields[rowtime].expr.ty;
    if !ty.kind.is_time_attribute() {
        return Err(Error::validation(format!(
            "invalid data type of time field for watermark definition: the field must be of type TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p from 0 to 3, \"{}\" is {ty}",
            watermark.column
        )));
    }
    if is_source_watermark(&watermark.expression) {
        return Ok(WatermarkSpec {
            rowtime,
            expression: None,
        });
    }
    let ast = parse_expression(&watermark.expression)?;
    let expr = ExprBinder::new(fields).bind(&ast)?;
    if std::mem::discriminant(&expr.ty.kind) != std::mem::discriminant(&ty.kind) {
        return Err(Error::type_mismatch(format!(
            "a watermark on {ty} is of that type, not {}",
            expr.ty
        )));
    }
    let expr = crate::sql::typing::explicit_cast(
        expr,
        ty.with_nullable(true),
        false,
        crate::error::Span::default(),
    )?;
    Ok(WatermarkSpec {
        rowtime,
        expression: Some(expr),
    })
}
