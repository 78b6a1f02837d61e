//! Texts of schemas.
//!
//! Place in the flow: every schema is read here, the table's own and those of the registry. Invariant: a schema whose records can be read
//! is taken, whatever its names look like and whether or not its defaults fit.

use std::sync::Once;

use apache_avro::error::Details;
use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::validator::{
    EnumSymbolNameValidator, RecordFieldNameValidator, SchemaNameValidator,
    SchemaNamespaceValidator, set_enum_symbol_name_validator, set_record_field_name_validator,
    set_schema_name_validator, set_schema_namespace_validator,
};
use apache_avro::{AvroResult, Schema};
use serde_json::Value;

use crate::format::registry::ReferencedSchema;

/// A schema with those that define types of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed {
    /// The schema.
    pub(super) schema: Schema,
    /// Schemas that it refers to.
    pub(super) referenced: Vec<Schema>,
}

impl Parsed {
    /// Types by name.
    pub(super) fn names(&self) -> Result<NamesRef<'_>, String> {
        let all = self.referenced.iter().chain([&self.schema]).collect();
        ResolvedSchema::new_with_schemata(all)
            .map(|resolved| resolved.get_names().clone())
            .map_err(|error| error.to_string())
    }
}

/// Reads a schema with those that it refers to, each behind those that it refers to.
///
/// # Errors
/// What is wrong with them.
pub(super) fn parse_with(text: &str, references: &[ReferencedSchema]) -> Result<Parsed, String> {
    static LENIENT: Once = Once::new();
    LENIENT.call_once(|| {
        // They fail where the library was used before; then names are checked as by the specification.
        set_schema_name_validator(Box::new(AnyName)).ok();
        set_schema_namespace_validator(Box::new(AnyName)).ok();
        set_enum_symbol_name_validator(Box::new(AnyName)).ok();
        set_record_field_name_validator(Box::new(AnyName)).ok();
    });
    // A type alone may stand without quotes: registries take it so.
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let quoted = is_word.then(|| format!("\"{text}\""));
    let text = quoted.as_deref().unwrap_or(text);
    let references: Vec<&str> = references
        .iter()
        .map(|reference| reference.schema.schema.as_str())
        .collect();
    parse_texts(text, &references).or_else(|error| {
        let without = |text: &&str| {
            let schema = serde_json::from_str(text).ok()?;
            Some(without_defaults(schema).to_string())
        };
        let texts: Option<Vec<String>> = references.iter().map(without).collect();
        texts
            .zip(without(&text))
            .and_then(|(references, text)| parse_texts(&text, &references).ok())
            .ok_or(error)
    })
}

/// Checks that a schema can be read with those that it refers to.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check_schema(text: &str, references: &[ReferencedSchema]) -> Result<(), String> {
    parse_with(text, references)?.names().map(|_| ())
}

/// Reads a schema with those that it refers to.
fn parse_texts<T: AsRef<str>>(text: &str, references: &[T]) -> Result<Parsed, String> {
    let texts = references.iter().map(AsRef::as_ref);
    Schema::parse_str_with_list(text, texts)
        .map(|(schema, referenced)| Parsed { schema, referenced })
        .map_err(|error| error.to_string())
}

/// The schema without the defaults of its fields: old libraries did not check them, and records are read without them.
fn without_defaults(schema: Value) -> Value {
    match schema {
        Value::Object(mut members) => {
            members.remove("default");
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, inner)| (name, without_defaults(inner)))
                    .collect(),
            )
        }
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(without_defaults).collect())
        }
        scalar => scalar,
    }
}

/// Takes names of other characters than the specification allows: the Java library lets some through, others do not check at all.
struct AnyName;

impl SchemaNameValidator for AnyName {
    fn validate(&self, full_name: &str) -> AvroResult<usize> {
        let start = full_name.rfind('.').map_or(0, |dot| dot + 1);
        if start == full_name.len() {
            return Err(Details::InvalidSchemaName(full_name.to_owned(), "a name").into());
        }
        Ok(start)
    }
}

impl SchemaNamespaceValidator for AnyName {
    fn validate(&self, _: &str) -> AvroResult<()> {
        Ok(())
    }
}

impl EnumSymbolNameValidator for AnyName {
    fn validate(&self, _: &str) -> AvroResult<()> {
        Ok(())
    }
}

impl RecordFieldNameValidator for AnyName {
    fn validate(&self, _: &str) -> AvroResult<()> {
        Ok(())
    }
}

#[cfg(test)]
/// Reads a schema that refers to no other.
pub(super) fn parse_schema(text: &str) -> Result<Schema, String> {
    parse_with(text, &[]).map(|parsed| parsed.schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_and_defaults_do_not_stand_in_the_way() {
        let text = r#"{"type": "record", "name": "Größe", "namespace": "my-company.x", "fields": [
            {"name": "a-b", "type": "int", "default": "none"},
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["x-1", "2"]}},
            {"name": "next", "type": ["string", "null", "Größe"], "default": null},
            {"name": "again", "type": "my-company.x.E"}
        ]}"#;
        let Ok(Schema::Record(record)) = parse_schema(text) else {
            panic!("refused");
        };
        assert_eq!(record.name.namespace(), Some("my-company.x"));
        assert_eq!(record.fields[0].name, "a-b");
        assert_eq!(record.fields[0].default, None);
    }

    #[test]
    fn a_type_needs_no_quotes() {
        assert_eq!(parse_schema("string"), Ok(Schema::String));
        assert_eq!(parse_schema("\"long\""), Ok(Schema::Long));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in [
            "",
            "[",
            "{}",
            "\"nothing\"",
            r#"{"type": "record", "name": "", "fields": []}"#,
            r#"{"type": "fixed", "name": "F", "size": -1}"#,
            r#"["int", "int"]"#,
        ] {
            assert!(parse_schema(text).is_err(), "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(parse_schema(&deep).is_err());
    }
}
