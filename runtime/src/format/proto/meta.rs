//! What schemas say beyond types: Confluent's annotations, and messages that stand for something else.
//!
//! Place in the flow: `plan` and `columns` ask it about fields. Invariant: an annotation that is missing or of another form is none.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Data type mappings": Protobuf; Confluent Schema Registry, `confluent/meta.proto`.

use std::collections::HashMap;

use prost_reflect::{ExtensionDescriptor, FieldDescriptor, MapKey, MessageDescriptor, Value};

/// Marks messages that only hold an array, map or element that may be NULL.
pub(super) const WRAPPED: &str = "flink.wrapped";
/// Tells apart types that are the same message.
pub(super) const FLINK_TYPE: &str = "flink.type";
/// Fractional digits of a time.
pub(super) const PRECISION: &str = "flink.precision";
/// Longest value.
pub(super) const MAX_LENGTH: &str = "flink.maxLength";
/// Shortest value.
pub(super) const MIN_LENGTH: &str = "flink.minLength";
/// Type of a small integer.
pub(super) const CONNECT_TYPE: &str = "connect.type";

/// Reads annotations.
#[derive(Debug)]
pub(super) struct Meta(pub(super) Option<ExtensionDescriptor>);

impl Meta {
    /// The parameters of a field.
    pub(super) fn params(&self, field: &FieldDescriptor) -> HashMap<String, String> {
        let Some(extension) = &self.0 else {
            return HashMap::new();
        };
        let options = field.options();
        let meta = options.get_extension(extension);
        let params = meta
            .as_message()
            .and_then(|meta| meta.get_field_by_name("params"));
        let Some(Value::Map(params)) = params.as_deref() else {
            return HashMap::new();
        };
        let text = |entry: (&MapKey, &Value)| match entry {
            (MapKey::String(key), Value::String(value)) => Some((key.clone(), value.clone())),
            _ => None,
        };
        params.iter().filter_map(text).collect()
    }

    /// Whether the message of a field only holds an array, map or element that may be NULL.
    pub(super) fn is_wrapped(&self, field: &FieldDescriptor) -> bool {
        self.params(field)
            .get(WRAPPED)
            .is_some_and(|value| value == "true")
    }
}

/// The only field of a message, if it is called `value`.
pub(super) fn only_value(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let mut fields = message.fields();
    let only = fields.next()?;
    (fields.next().is_none() && only.name() == "value").then_some(only)
}

/// Whether a message is an entry of a map: one of `map<...>`, or one that Confluent's types would write for a map.
pub(super) fn is_entry(message: &MessageDescriptor) -> bool {
    if message.is_map_entry() {
        return true;
    }
    let mut names: Vec<String> = message.fields().map(|f| f.name().to_owned()).collect();
    names.sort();
    message.name().ends_with("Entry") && names == ["key", "value"]
}
