//! Tables as sources.
//!
//! Place in the flow: FROM makes a scan of all columns of a table; pruning leaves what the statement needs. Invariant: a
//! table that occurs several times in a statement, with the same hints, is one scan.

use super::expression::ExprBinder;
use super::names::LATE_SUFFIX;
use super::options::{DEFAULT_CONNECTOR, connector};
use super::over::exchange;
use super::relation::{Draft, Field, PlanBuilder, Relation, Using};
use super::table_format::carries_changes;
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{
    ChangelogMode, Column, Input, LateRows, NodeId, Operator, ReadColumn, Scan, WatermarkSpec,
};
use crate::sql::catalog::{
    ColumnKind, ROWTIME_COLUMN, SOURCE_WATERMARK, TableColumn, TableDef, WatermarkDef,
};
use crate::sql::expr::Expr;
use crate::sql::parser::parse_expression;
use crate::sql::session::Session;
use crate::types::{FlinkType, TypeKind};

/// The option that says what becomes of late rows.
const LATE_HANDLING_MODE: &str = "late-handling.mode";

/// Property with [`CdcEvents`].
const CDC_EVENTS_DUPLICATE: &str = "table.exec.source.cdc-events-duplicate";

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

/// Whether the changes of a source may come twice.
///
/// # Source
/// Flink 2.3: `table.exec.source.cdc-events-duplicate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CdcEvents {
    /// Each comes once.
    Once,
    /// One that has come may come again.
    Duplicate,
}

impl CdcEvents {
    /// What the session says.
    pub(super) fn of(session: &Session) -> Self {
        match session.get(CDC_EVENTS_DUPLICATE) {
            Some(value) if value.eq_ignore_ascii_case("true") => Self::Duplicate,
            Some(_) | None => Self::Once,
        }
    }
}

impl PlanBuilder {
    /// The scan of a table, with all its columns.
    ///
    /// # Errors
    /// `Invalid` for tables that cannot be read.
    pub(super) fn scan(
        &mut self,
        table: &TableDef,
        late: LateRows,
        events: CdcEvents,
    ) -> Result<Relation> {
        let known = self
            .scans
            .iter()
            .find(|(other, other_late, _)| other == table && *other_late == late);
        if let Some((_, _, relation)) = known {
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
        let shown = match late {
            LateRows::PassThrough | LateRows::Filter => table.name.name.clone(),
            LateRows::Only => format!("{}{LATE_SUFFIX}", table.name.name),
        };
        let fields = fields(&columns, &shown);
        let watermark = watermark_of(table)
            .map(|watermark| watermark_spec(&watermark, &fields))
            .transpose()
            .map_err(|error| error.context(&format!("watermark of table {}", table.name)))?;
        check_late_rows(table, late, (changelog, watermark.is_some()))?;
        // Late rows alone have no time attribute: none of them would be on time.
        let rowtime = watermark.as_ref().map(|spec| spec.rowtime);
        let mut traits = Traits::of_rowtime(rowtime.filter(|_| late != LateRows::Only));
        let is_proctime = |expr: &Expr| Traits::default().domain_of(expr).is_some();
        for (index, expr) in projections.iter().flatten().enumerate() {
            if is_proctime(expr) {
                traits.proctimes.insert(index);
            }
        }
        let key = key_of(table, &columns);
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
                late,
            }),
        };
        let mut base = self.add(draft);
        if let Some(keys) = normalized_by(table, key, (changelog, events))? {
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
        self.scans.push((table.clone(), late, relation.clone()));
        Ok(relation)
    }
}

/// The places of the columns of a table's primary key; absent without one.
fn key_of(table: &TableDef, columns: &[TableColumn]) -> Option<Vec<usize>> {
    let place = |key: &String| columns.iter().position(|column| column.name == *key);
    let key: Option<Vec<usize>> = table.primary_key.iter().map(place).collect();
    key.filter(|key| !key.is_empty())
}

/// The key that the changes of a source are normalized by; absent when they are taken as they are.
///
/// # Errors
/// `Invalid` for changes that may come twice and have no key.
fn normalized_by(
    table: &TableDef,
    key: Option<Vec<usize>>,
    (changelog, events): (ChangelogMode, CdcEvents),
) -> Result<Option<Vec<usize>>> {
    match (changelog, events) {
        (ChangelogMode::Append, _) | (ChangelogMode::Retract, CdcEvents::Once) => Ok(None),
        (ChangelogMode::Retract, CdcEvents::Duplicate) if key.is_none() => {
            Err(Error::validation(format!(
                "'{CDC_EVENTS_DUPLICATE}' = 'true' requires the tables with changes to have a PRIMARY KEY, and {} has none",
                table.name
            )))
        }
        (ChangelogMode::Retract, CdcEvents::Duplicate) | (ChangelogMode::Upsert, _) => Ok(key),
    }
}

impl PlanBuilder {
    /// Adds the node that gives every update its old row.
    ///
    /// # Source
    /// Flink: `ChangelogNormalize` behind sources of upserts, and of changes that may come twice.
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

/// What the options of a table do with late rows.
pub(super) fn late_rows(table: &TableDef) -> LateRows {
    match table.option(LATE_HANDLING_MODE) {
        Some(mode) if mode.eq_ignore_ascii_case("filter") => LateRows::Filter,
        _ => LateRows::PassThrough,
    }
}

/// Refuses to tell late rows apart where that means nothing.
///
/// # Errors
/// `Invalid` for late rows of a table that does not filter them, that has no watermark or whose rows change others.
fn check_late_rows(
    table: &TableDef,
    late: LateRows,
    (changelog, has_watermark): (ChangelogMode, bool),
) -> Result<()> {
    if late == LateRows::PassThrough {
        return Ok(());
    }
    let name = &table.name;
    let refused = |reason: String| Err(Error::validation(reason));
    if late_rows(table) != LateRows::Filter {
        return refused(format!(
            "table {name} passes late rows through: ALTER TABLE {name} SET ('{LATE_HANDLING_MODE}' = 'filter') keeps them apart"
        ));
    }
    if !has_watermark {
        return refused(format!(
            "option '{LATE_HANDLING_MODE}' of table {name}: without a WATERMARK no row is late"
        ));
    }
    if changelog != ChangelogMode::Append {
        return refused(format!(
            "option '{LATE_HANDLING_MODE}' of table {name}: changes are not filtered, since later ones depend on them; \
             it needs 'changelog.mode' = 'append'"
        ));
    }
    Ok(())
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
fn fields(columns: &[TableColumn], qualifier: &str) -> Vec<Field> {
    columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field {
            name: column.name.clone(),
            qualifier: Some(qualifier.to_owned()),
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
