//! Types as Confluent's clients read them.

use serde_json::{Value, json};
use weir_runtime::types::{FlinkType, TypeKind};

/// A type with the names of Flink's logical type roots.
///
/// # Source
/// `DataType` of Confluent's `sql/v1`; precisions of intervals are Flink's defaults.
pub(super) fn type_json(ty: &FlinkType) -> Value {
    let mut json = match &ty.kind {
        TypeKind::Null => json!({ "type": "NULL" }),
        TypeKind::Boolean => json!({ "type": "BOOLEAN" }),
        TypeKind::TinyInt => json!({ "type": "TINYINT" }),
        TypeKind::SmallInt => json!({ "type": "SMALLINT" }),
        TypeKind::Int => json!({ "type": "INTEGER" }),
        TypeKind::BigInt => json!({ "type": "BIGINT" }),
        TypeKind::Float => json!({ "type": "FLOAT" }),
        TypeKind::Double => json!({ "type": "DOUBLE" }),
        TypeKind::Decimal { precision, scale } => {
            json!({ "type": "DECIMAL", "precision": precision, "scale": scale })
        }
        TypeKind::Char(length) => json!({ "type": "CHAR", "length": length }),
        TypeKind::VarChar(length) => json!({ "type": "VARCHAR", "length": length }),
        TypeKind::Binary(length) => json!({ "type": "BINARY", "length": length }),
        TypeKind::VarBinary(length) => json!({ "type": "VARBINARY", "length": length }),
        TypeKind::Variant => json!({ "type": "VARIANT" }),
        TypeKind::Date => json!({ "type": "DATE" }),
        TypeKind::Time(precision) => {
            json!({ "type": "TIME_WITHOUT_TIME_ZONE", "precision": precision })
        }
        TypeKind::Timestamp(precision) => {
            json!({ "type": "TIMESTAMP_WITHOUT_TIME_ZONE", "precision": precision })
        }
        TypeKind::TimestampLtz(precision) => {
            json!({ "type": "TIMESTAMP_WITH_LOCAL_TIME_ZONE", "precision": precision })
        }
        TypeKind::IntervalYearMonth => {
            json!({ "type": "INTERVAL_YEAR_MONTH", "resolution": "YEAR_TO_MONTH", "precision": 2 })
        }
        TypeKind::IntervalDayTime => {
            json!({ "type": "INTERVAL_DAY_TIME", "resolution": "DAY_TO_SECOND", "precision": 2, "fractional_precision": 3 })
        }
        TypeKind::Bitmap => json!({ "type": "BITMAP" }),
        TypeKind::Array(element) => {
            json!({ "type": "ARRAY", "element_type": type_json(element) })
        }
        TypeKind::Multiset(element) => {
            json!({ "type": "MULTISET", "element_type": type_json(element) })
        }
        TypeKind::Map(key, value) => {
            json!({ "type": "MAP", "key_type": type_json(key), "value_type": type_json(value) })
        }
        TypeKind::Row(fields) => {
            let fields: Vec<Value> = fields
                .iter()
                .map(|field| json!({ "name": field.name, "field_type": type_json(&field.ty) }))
                .collect();
            json!({ "type": "ROW", "fields": fields })
        }
    };
    json["nullable"] = Value::Bool(ty.nullable);
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_flinks_root_names() {
        assert_eq!(
            type_json(&TypeKind::string().nullable()),
            json!({ "type": "VARCHAR", "length": 2_147_483_647, "nullable": true })
        );
        let nested = TypeKind::Array(Box::new(TypeKind::Int.not_null())).not_null();
        assert_eq!(
            type_json(&nested),
            json!({ "type": "ARRAY", "element_type": { "type": "INTEGER", "nullable": false }, "nullable": false })
        );
    }
}
