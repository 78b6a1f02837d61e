//! Tables for topics that nobody declared.
//!
//! Place in the flow: the catalog asks for a table under a name that no definition has; its topic and its schemas say what it is.
//! Invariant: pure, and the same topic and schemas give the same table.
//!
//! # Source
//! Confluent Cloud for Apache Flink, CREATE TABLE, "Inferred tables".

use std::collections::BTreeMap;

use weir_runtime::error::{Error, Result};
use weir_runtime::format::FormatField;
use weir_runtime::format::inference::columns_of_schema;
use weir_runtime::format::registry::{
    RegisteredSchema, SchemaRegistry, SchemaType, referenced_schemas,
};
use weir_runtime::sql::catalog::{ColumnKind, ObjectName, TableColumn, TableDef};
use weir_runtime::types::{FlinkType, TypeKind};

/// Column of a key without a schema.
const RAW_KEY: &str = "key";

/// Column of a value without a schema.
const RAW_VALUE: &str = "val";

/// What columns of the key begin with when the value has columns of their names.
const KEY_PREFIX: &str = "key_";

/// The format of bytes without a schema.
const RAW_FORMAT: &str = "raw";

/// What a schema says of the key or value of a topic's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartSchema {
    /// The format of its language.
    pub(super) format: &'static str,
    /// Columns in the schema's order.
    pub(super) fields: Vec<FormatField>,
}

impl PartSchema {
    /// The rows that changes of Debezium are of, if records are such changes.
    fn of_changes(&self) -> Option<Self> {
        let format = match self.format {
            "avro-registry" => "avro-debezium-registry",
            "json-registry" => "json-debezium-registry",
            "proto-registry" => "proto-debezium-registry",
            _ => return None,
        };
        let field = |name: &str| self.fields.iter().find(|field| field.name == name);
        let (TypeKind::Row(_), TypeKind::Row(after)) =
            (&field("before")?.ty.kind, &field("after")?.ty.kind)
        else {
            return None;
        };
        if !field("op")?.ty.kind.is_character() {
            return None;
        }
        let fields = after.iter().map(|field| FormatField {
            name: field.name.clone(),
            ty: field.ty.clone(),
        });
        Some(Self {
            format,
            fields: fields.collect(),
        })
    }

    /// A part without a schema.
    fn raw(name: &str) -> Self {
        let field = FormatField {
            name: name.to_owned(),
            ty: TypeKind::bytes().nullable(),
        };
        Self {
            format: RAW_FORMAT,
            fields: vec![field],
        }
    }
}

/// What a registered schema says of a part.
///
/// # Errors
/// `Invalid` and `Unsupported` for a schema that has no columns; `Unavailable` when the registry does not answer.
pub(super) fn part_of(
    schema: &RegisteredSchema,
    part: &str,
    registry: &dyn SchemaRegistry,
) -> Result<PartSchema> {
    let format = match schema.schema_type {
        SchemaType::Avro => "avro-registry",
        SchemaType::Json => "json-registry",
        SchemaType::Protobuf => "proto-registry",
    };
    let references = referenced_schemas(registry, schema)?.map_err(Error::validation)?;
    let only = if part == "key" { RAW_KEY } else { RAW_VALUE };
    let fields = columns_of_schema(schema, &references, only)?;
    Ok(PartSchema { format, fields })
}

/// What there is to know of a topic.
#[derive(Debug, Clone)]
pub(super) struct TopicFacts {
    /// The table's name.
    pub(super) name: ObjectName,
    /// Partitions.
    pub(super) partitions: u32,
    /// Whether it keeps the newest record of each key.
    pub(super) is_compacted: bool,
    /// The schema of keys, if they have one.
    pub(super) key: Option<PartSchema>,
    /// The schema of values, if they have one.
    pub(super) value: Option<PartSchema>,
}

/// The table of a topic.
pub(super) fn infer(facts: TopicFacts) -> TableDef {
    let key = facts.key.unwrap_or_else(|| PartSchema::raw(RAW_KEY));
    let value = facts.value.unwrap_or_else(|| PartSchema::raw(RAW_VALUE));
    let changes = value.of_changes();
    let mode = match (facts.is_compacted, &changes) {
        (true, _) => "upsert",
        (false, Some(_)) => "retract",
        (false, None) => "append",
    };
    let value = changes.unwrap_or(value);
    let mut options = BTreeMap::new();
    let mut option = |key: &str, value: &str| options.insert(key.to_owned(), value.to_owned());
    option("connector", "confluent");
    option("changelog.mode", mode);
    option("key.format", key.format);
    option("value.format", value.format);
    let is_in_value = key.fields.iter().all(|field| value.fields.contains(field));
    let clashes = key
        .fields
        .iter()
        .any(|field| value.fields.iter().any(|other| other.name == field.name));
    let mut prefix = "";
    if is_in_value {
        option("value.fields-include", "all");
    } else if clashes {
        prefix = KEY_PREFIX;
        option("key.fields-prefix", KEY_PREFIX);
    }
    let key_fields = key.fields.into_iter().map(|field| FormatField {
        name: format!("{prefix}{}", field.name),
        ty: FlinkType {
            nullable: field.ty.nullable && !facts.is_compacted,
            ..field.ty
        },
    });
    let key_fields: Vec<FormatField> = key_fields.collect();
    let key_names: Vec<String> = key_fields.iter().map(|field| field.name.clone()).collect();
    let is_key = |field: &FormatField| is_in_value && key_names.contains(&field.name);
    let rest = value.fields.into_iter().filter(|field| !is_key(field));
    let columns = key_fields.into_iter().chain(rest).map(|field| TableColumn {
        name: field.name,
        ty: field.ty,
        kind: ColumnKind::Physical,
        comment: None,
    });
    TableDef {
        name: facts.name,
        columns: columns.collect(),
        watermark: None,
        primary_key: if facts.is_compacted {
            key_names.clone()
        } else {
            Vec::new()
        },
        distributed_by: key_names,
        buckets: Some(facts.partitions),
        options,
        comment: None,
    }
}

#[cfg(test)]
mod tests {
    use weir_runtime::types::RowField;

    use super::*;

    /// A field.
    fn field(name: &str, ty: FlinkType) -> FormatField {
        FormatField {
            name: name.to_owned(),
            ty,
        }
    }

    /// A part in Avro.
    fn avro(fields: &[(&str, FlinkType)]) -> PartSchema {
        PartSchema {
            format: "avro-registry",
            fields: fields
                .iter()
                .map(|(name, ty)| field(name, ty.clone()))
                .collect(),
        }
    }

    /// The table of a topic of three partitions.
    fn table(
        key: impl Into<Option<PartSchema>>,
        value: impl Into<Option<PartSchema>>,
        is_compacted: bool,
    ) -> TableDef {
        infer(TopicFacts {
            name: ObjectName {
                catalog: "c".into(),
                database: "d".into(),
                name: "t".into(),
            },
            partitions: 3,
            is_compacted,
            key: key.into(),
            value: value.into(),
        })
    }

    /// Columns as text.
    fn columns(table: &TableDef) -> String {
        let columns = table
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.ty));
        columns.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn records_without_a_schema_are_bytes() {
        let table = table(None, None, false);
        assert_eq!(columns(&table), "key BYTES, val BYTES");
        assert_eq!(table.distributed_by, ["key"]);
        assert_eq!(table.buckets, Some(3));
        assert_eq!(table.option("key.format"), Some("raw"));
        assert_eq!(table.option("value.format"), Some("raw"));
        assert_eq!(table.option("changelog.mode"), Some("append"));
    }

    #[test]
    fn a_value_with_a_schema_keeps_the_key_as_bytes_under_a_free_name() {
        let value = avro(&[("a", TypeKind::Int.not_null())]);
        assert_eq!(
            columns(&table(None, value, false)),
            "key BYTES, a INT NOT NULL"
        );
        let value = avro(&[("key", TypeKind::Int.nullable())]);
        let found = table(None, value, false);
        assert_eq!(columns(&found), "key_key BYTES, key INT");
        assert_eq!(found.option("key.fields-prefix"), Some("key_"));
        assert_eq!(found.distributed_by, ["key_key"]);
    }

    #[test]
    fn a_key_that_the_value_holds_is_one_column() {
        let id = ("id", TypeKind::BigInt.not_null());
        let name = ("name", TypeKind::string().nullable());
        let found = table(avro(std::slice::from_ref(&id)), avro(&[name, id]), false);
        assert_eq!(columns(&found), "id BIGINT NOT NULL, name STRING");
        assert_eq!(found.option("value.fields-include"), Some("all"));
        assert_eq!(found.option("key.fields-prefix"), None);
    }

    #[test]
    fn a_key_of_another_type_than_in_the_value_gets_a_prefix() {
        let key = avro(&[("id", TypeKind::BigInt.not_null())]);
        let value = avro(&[("id", TypeKind::string().nullable())]);
        let found = table(key, value, false);
        assert_eq!(columns(&found), "key_id BIGINT NOT NULL, id STRING");
    }

    #[test]
    fn changes_of_debezium_are_a_retract_table_of_their_rows() {
        let field = |name: &str, ty| RowField {
            name: name.to_owned(),
            ty,
        };
        let row = TypeKind::Row(vec![
            field("id", TypeKind::BigInt.not_null()),
            field("name", TypeKind::string().nullable()),
        ]);
        let row = row.nullable();
        let value = avro(&[
            ("before", row.clone()),
            ("after", row),
            ("op", TypeKind::string().not_null()),
            ("ts_ms", TypeKind::BigInt.nullable()),
        ]);
        let key = avro(&[("id", TypeKind::BigInt.not_null())]);
        let found = table(key, value.clone(), false);
        assert_eq!(columns(&found), "id BIGINT NOT NULL, name STRING");
        assert_eq!(found.option("value.format"), Some("avro-debezium-registry"));
        assert_eq!(found.option("changelog.mode"), Some("retract"));
        assert_eq!(found.option("value.fields-include"), Some("all"));
        assert!(found.primary_key.is_empty());
        let compacted = table(None, value, true);
        assert_eq!(compacted.option("changelog.mode"), Some("upsert"));
    }

    #[test]
    fn a_compacted_topic_is_an_upsert_table() {
        let key = avro(&[("id", TypeKind::BigInt.nullable())]);
        let value = avro(&[("v", TypeKind::Int.nullable())]);
        let found = table(key, value, true);
        assert_eq!(columns(&found), "id BIGINT NOT NULL, v INT");
        assert_eq!(found.primary_key, ["id"]);
        assert_eq!(found.option("changelog.mode"), Some("upsert"));
    }
}
