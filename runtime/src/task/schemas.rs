//! The schemas that a table's records are registered under.
//!
//! Place in the flow: the server registers them when it makes a table, so that programs outside find them before the first record.
//! Invariant: they are exactly those that a writer of the table registers.

use crate::error::Result;
use crate::format::registry::SchemaType;
use crate::sql::catalog::TableDef;
use crate::task::layout::{Part, RecordLayout};
use crate::task::record_writer::topic_of;

/// A schema and its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// `TOPIC-key` or `TOPIC-value`.
    pub subject: String,
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub schema: String,
}

/// The schemas of the registry formats of a table; none for other formats.
///
/// # Errors
/// `Invalid` for a table without a value format; `Unsupported` for a type that has no schema.
pub fn table_schemas(table: &TableDef) -> Result<Vec<TableSchema>> {
    let layout = RecordLayout::of(table)?;
    let schema = |part: &Part, suffix: &str| {
        let subject = format!("{}-{suffix}", topic_of(table));
        let schema = part.spec(&subject, None).schema(&part.encoded)?;
        Ok(schema.map(|(schema_type, schema)| TableSchema {
            subject,
            schema_type,
            schema,
        }))
    };
    let key = layout.key.iter().map(|part| (part, "key"));
    key.chain([(&layout.value, "value")])
        .filter_map(|(part, suffix)| schema(part, suffix).transpose())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sql::catalog::{ColumnKind, ObjectName, TableColumn};
    use crate::types::TypeKind;

    #[test]
    fn only_registry_formats_have_schemas() {
        let column = |name: &str| TableColumn {
            name: name.to_owned(),
            ty: TypeKind::Int.not_null(),
            kind: ColumnKind::Physical,
            comment: None,
        };
        let mut table = TableDef {
            name: ObjectName {
                catalog: "c".into(),
                database: "d".into(),
                name: "t".into(),
            },
            columns: vec![column("k"), column("v")],
            watermark: None,
            primary_key: vec!["k".into()],
            distributed_by: vec![],
            buckets: None,
            options: BTreeMap::from([
                ("key.format".to_owned(), "json".to_owned()),
                ("value.format".to_owned(), "json-registry".to_owned()),
            ]),
            comment: None,
        };
        let schemas = table_schemas(&table).unwrap();
        assert_eq!(schemas.len(), 1);
        assert_eq!(schemas[0].subject, "t-value");
        assert!(schemas[0].schema.contains("\"v\""), "{schemas:?}");
        table
            .options
            .insert("key.format".into(), "json-registry".into());
        table
            .options
            .insert("value.format".into(), "avro-registry".into());
        let subjects: Vec<(String, SchemaType)> = table_schemas(&table)
            .unwrap()
            .into_iter()
            .map(|schema| (schema.subject, schema.schema_type))
            .collect();
        assert_eq!(
            subjects,
            [
                ("t-key".to_owned(), SchemaType::Json),
                ("t-value".to_owned(), SchemaType::Avro)
            ]
        );
    }
}
