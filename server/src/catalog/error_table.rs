//! The table that dead letters are written to.
//!
//! Place in the flow: made when a table asks for `error-handling.mode` = `log`, and by a job that finds it missing. Invariant: its
//! columns are Confluent's twelve, in their order.

use std::collections::BTreeMap;

use weir_runtime::sql::catalog::{ColumnKind, ObjectName, TableColumn, TableDef};
use weir_runtime::types::{FlinkType, RowField, TypeKind};

/// Name of the error table when the table does not choose one.
///
/// # Source
/// Confluent: default of `error-handling.log.target`.
const DEFAULT_TARGET: &str = "error_log";

/// The error table that a table asks for; absent unless its failures are logged.
pub(super) fn target_of(table: &TableDef) -> Option<ObjectName> {
    if table.option("error-handling.mode") != Some("log") {
        return None;
    }
    let target = table
        .option("error-handling.log.target")
        .unwrap_or(DEFAULT_TARGET);
    let mut parts: Vec<String> = target
        .split('.')
        .map(|part| part.trim().trim_matches('`').to_owned())
        .collect();
    let name = parts.pop().unwrap_or_default();
    let database = parts.pop().unwrap_or_else(|| table.name.database.clone());
    let catalog = parts.pop().unwrap_or_else(|| table.name.catalog.clone());
    Some(ObjectName {
        catalog,
        database,
        name,
    })
}

/// The definition of an error table.
///
/// # Source
/// Confluent's generated schema; the value format is JSON, since registry formats of this version do not include Avro.
pub(super) fn definition(name: ObjectName) -> TableDef {
    let text = TypeKind::string;
    let headers =
        |value: TypeKind| TypeKind::Map(Box::new(text().not_null()), Box::new(value.not_null()));
    let columns = vec![
        column("error_timestamp", TypeKind::TimestampLtz(3).not_null()),
        column("error_code", TypeKind::Int.not_null()),
        column("error_reason", text().not_null()),
        column("error_message", text().not_null()),
        column("error_details", headers(text()).not_null()),
        column("processor", text().not_null()),
        column("statement_name", text().nullable()),
        column("affected_type", text().not_null()),
        column("affected_catalog", text().nullable()),
        column("affected_database", text().nullable()),
        column("affected_name", text().nullable()),
        column("source_record", source_record().nullable()),
    ];
    let options = [("connector", "confluent"), ("value.format", "json")];
    TableDef {
        name,
        columns,
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options: options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        comment: Some("records that could not be decoded".to_owned()),
    }
}

/// A physical column.
fn column(name: &str, ty: FlinkType) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        ty,
        kind: ColumnKind::Physical,
        comment: None,
    }
}

/// The type of the record that failed.
fn source_record() -> TypeKind {
    let headers = TypeKind::Map(
        Box::new(TypeKind::string().not_null()),
        Box::new(TypeKind::bytes().nullable()),
    );
    let fields = [
        ("topic", TypeKind::string()),
        ("partition", TypeKind::Int),
        ("offset", TypeKind::BigInt),
        ("timestamp", TypeKind::TimestampLtz(3)),
        ("timestamp_type", TypeKind::string()),
        ("headers", headers),
        ("key", TypeKind::bytes()),
        ("value", TypeKind::bytes()),
    ];
    let field = |(name, kind): (&str, TypeKind)| RowField {
        name: name.to_owned(),
        ty: kind.nullable(),
    };
    TypeKind::Row(fields.into_iter().map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name in the local database.
    fn name(name: &str) -> ObjectName {
        ObjectName {
            catalog: "default".into(),
            database: "cluster_0".into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_columns_are_confluents_twelve() {
        let table = definition(name("error_log"));
        assert_eq!(table.columns.len(), 12);
        assert_eq!(
            table.columns[4].ty.to_string(),
            "MAP<STRING NOT NULL, STRING NOT NULL> NOT NULL"
        );
        assert!(
            table.columns[11]
                .ty
                .to_string()
                .starts_with("ROW<`topic` STRING, `partition` INT")
        );
    }

    #[test]
    fn the_target_is_beside_the_table_unless_it_is_qualified() {
        let mut table = definition(name("orders"));
        assert_eq!(target_of(&table), None);
        table
            .options
            .insert("error-handling.mode".into(), "log".into());
        assert_eq!(target_of(&table), Some(name("error_log")));
        table
            .options
            .insert("error-handling.log.target".into(), "`c`.`d`.`e`".into());
        assert_eq!(target_of(&table).unwrap().to_string(), "`c`.`d`.`e`");
    }
}
