//! Avro schemas as the registry knows them: every name, default, alias and property.
//!
//! Enters: the text of a schema and of those it refers to. Leaves: types that point at one another, and one text for all schemas that
//! differ in white space or order of attributes only. An own parser, since that of `apache-avro` checks names by process-wide settings
//! that the formats loosen, and forgets where an error is.
//!
//! # Source
//! Apache Avro 1.12, "Specification": Schema Declaration, Names, Aliases. Defaults are not checked, as in Confluent's registry, which has
//! `avro.validate.defaults=false`.

mod parse;
mod print;

use serde_json::{Map, Value};

/// Position of a type in [`AvroSchema::types`].
pub(crate) type TypeId = usize;

/// A parsed schema with the named types of its references.
#[derive(Debug, Clone)]
pub(crate) struct AvroSchema {
    /// Every type.
    pub(crate) types: Vec<Type>,
    /// The schema itself.
    pub(crate) root: TypeId,
    /// How many of the types are of references.
    referenced: usize,
}

/// A type.
#[derive(Debug, Clone)]
pub(crate) struct Type {
    /// Which one.
    pub(crate) kind: Kind,
    /// Attributes that the specification leaves to applications, and logical types.
    pub(crate) properties: Map<String, Value>,
}

/// Which type.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A type without others in it, such as `long`.
    Primitive(Primitive),
    /// An array of a type.
    Array(TypeId),
    /// A map to a type.
    Map(TypeId),
    /// One of several types.
    Union(Vec<TypeId>),
    /// A record.
    Record(Named, Vec<Field>),
    /// An enumeration.
    Enum(Named, Symbols),
    /// So many bytes.
    Fixed(Named, u64),
}

/// A type without others in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    /// `null`.
    Null,
    /// `boolean`.
    Boolean,
    /// `int`.
    Int,
    /// `long`.
    Long,
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// `bytes`.
    Bytes,
    /// `string`.
    String,
}

impl Primitive {
    /// Every one.
    pub(crate) const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::String,
    ];

    /// The name in schemas.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// The one of that name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What records, enumerations and fixed have in common.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// Namespace, a dot and the name; the name alone without a namespace.
    pub(crate) full_name: String,
    /// Full names that a reader takes for this one.
    pub(crate) aliases: Vec<String>,
    /// Documentation.
    doc: Option<String>,
}

impl Named {
    /// The name without the namespace.
    pub(crate) fn name(&self) -> &str {
        self.full_name
            .rsplit_once('.')
            .map_or(self.full_name.as_str(), |(_, name)| name)
    }

    /// The namespace, empty for none.
    fn namespace(&self) -> &str {
        self.full_name
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
    }
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Name.
    pub(crate) name: String,
    /// Type.
    pub(crate) type_id: TypeId,
    /// What a reader takes where the writer has no such field.
    pub(crate) default: Option<Value>,
    /// Names of the writer's field that a reader takes for this one.
    pub(crate) aliases: Vec<String>,
    /// Documentation.
    doc: Option<String>,
    /// `descending` or `ignore`; `ascending` is left out.
    order: Option<String>,
    /// Attributes that the specification leaves to applications.
    properties: Map<String, Value>,
}

/// The symbols of an enumeration.
#[derive(Debug, Clone)]
pub(crate) struct Symbols {
    /// In order.
    pub(crate) all: Vec<String>,
    /// What a reader takes for a symbol that it does not know.
    pub(crate) default: Option<String>,
}

impl AvroSchema {
    /// Reads a schema; named types of `references` are known in it.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        parse::parse(text, references)
    }

    /// The text that is the same for every schema of this content; properties and documentation are kept.
    pub(crate) fn canonical(&self) -> String {
        print::print(self, print::Style::Canonical)
    }

    /// As [`Self::canonical`], with full names only.
    pub(crate) fn normalized(&self) -> String {
        print::print(self, print::Style::Normalized)
    }

    /// As [`Self::canonical`], with the types of references in it.
    pub(crate) fn resolved(&self) -> String {
        let whole = Self {
            referenced: 0,
            ..self.clone()
        };
        whole.canonical()
    }

    /// Whether a type was defined by a reference.
    fn is_referenced(&self, id: TypeId) -> bool {
        id < self.referenced
    }

    /// The name of a type for messages.
    pub(crate) fn describe(&self, id: TypeId) -> &str {
        match &self.types[id].kind {
            Kind::Primitive(primitive) => primitive.as_str(),
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(named, _) | Kind::Enum(named, _) | Kind::Fixed(named, _) => {
                &named.full_name
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The canonical text of a schema.
    fn canonical(text: &str) -> String {
        AvroSchema::parse(text, &[]).unwrap().canonical()
    }

    #[test]
    fn white_space_and_order_of_attributes_do_not_matter() {
        let one = r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[{"name":"x","type":["null","int"],"default":null,"order":"ascending"}],"p":1}"#;
        let other = r#"{ "p": 1, "fields": [ { "default": null, "type": [ "null", {"type": "int"} ], "name": "x" } ],
            "doc": "d", "name": "a.b.R", "type": "record" }"#;
        assert_eq!(canonical(one), canonical(other));
        assert_eq!(
            canonical(one),
            r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[{"name":"x","type":["null","int"],"default":null}],"p":1}"#
        );
        assert_ne!(
            canonical(one),
            canonical(&one.replace("\"p\":1", "\"p\":2"))
        );
    }

    #[test]
    fn canonical_texts_are_their_own() {
        for text in [
            "string",
            r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":4,"aliases":["x.G","H"]}"#,
            r#"{"type":"enum","name":"n.E","symbols":["A","B"],"default":"A","doc":"q\"\n"}"#,
            r#"{"type":"map","values":{"type":"array","items":{"type":"long","logicalType":"timestamp-millis"}}}"#,
            r#"{"type":"record","name":"T","fields":[{"name":"next","type":["null","T"]},{"name":"e","type":{"type":"record","name":"s.U","fields":[{"name":"t","type":"T"}]}}]}"#,
        ] {
            let once = canonical(text);
            assert_eq!(canonical(&once), once, "{text}");
        }
    }

    #[test]
    fn named_types_of_references_are_known_and_not_repeated() {
        let reference = (
            "ref".to_owned(),
            r#"{"type":"record","name":"a.B","fields":[]}"#.to_owned(),
        );
        let text =
            r#"{"type":"record","name":"R","namespace":"a","fields":[{"name":"b","type":"B"}]}"#;
        let schema = AvroSchema::parse(text, &[reference]).unwrap();
        assert_eq!(schema.canonical(), text);
        assert!(schema.normalized().contains(r#""type":"a.B""#));
        let whole = AvroSchema::parse(&schema.resolved(), &[]).unwrap();
        assert_eq!(whole.canonical(), schema.resolved());
        assert!(
            AvroSchema::parse(text, &[])
                .unwrap_err()
                .contains("/fields/0")
        );
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, part) in [
            ("", "line 1"),
            ("{\"type\":", "line 1"),
            ("\"nothing\"", "no type is named nothing"),
            ("{}", "needs a type"),
            (r#"["int","int"]"#, "int twice"),
            (r#"["int",["string"]]"#, "union in a union"),
            (r#"{"type":"record","name":"R"}"#, "needs fields"),
            (r#"{"type":"record","fields":[]}"#, "needs a name"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
                "/fields/1: there are two fields a",
            ),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}"#,
                "a-b",
            ),
            (
                r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
                "/symbols/1",
            ),
            (
                r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
                "default",
            ),
            (r#"{"type":"fixed","name":"F","size":-1}"#, "size"),
            (r#"{"type":"array"}"#, "needs items"),
            (r#"{"type":"enum","name":"int","symbols":[]}"#, "int"),
            (r#"["A.b", 3]"#, "/0"),
        ] {
            let error = AvroSchema::parse(text, &[]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = r#"{"type":"array","items":"#.repeat(10_000);
        assert!(AvroSchema::parse(&deep, &[]).is_err());
    }
}
