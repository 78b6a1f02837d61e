//! Writes Avro schemas.
//!
//! Place in the flow: what identifies a schema, and what clients are given. Invariant: the text reads back as the same schema; attributes
//! stand in one order, that of Avro's Java library with the properties of applications sorted.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{AvroSchema, Field, Kind, Named, TypeId};

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without the namespace that is in force, as Avro's Java library does.
    Canonical,
    /// In full.
    Normalized,
}

/// The text of a schema.
pub(super) fn print(schema: &AvroSchema, style: Style) -> String {
    let mut printer = Printer {
        schema,
        style,
        printed: BTreeSet::new(),
        out: String::new(),
    };
    printer.schema(schema.root, "");
    printer.out
}

/// What is written so far.
#[derive(Debug)]
struct Printer<'a> {
    /// The schema.
    schema: &'a AvroSchema,
    /// How names are written.
    style: Style,
    /// Named types that were written.
    printed: BTreeSet<TypeId>,
    /// The text.
    out: String,
}

impl Printer<'_> {
    /// Writes a type where names without a namespace are of `namespace`.
    fn schema(&mut self, id: TypeId, namespace: &str) {
        let schema = self.schema;
        let ty = &schema.types[id];
        match &ty.kind {
            Kind::Primitive(primitive) => {
                if ty.properties.is_empty() {
                    self.string(primitive.as_str());
                } else {
                    self.open(primitive.as_str());
                    self.properties(&ty.properties);
                }
            }
            Kind::Array(inner) | Kind::Map(inner) => {
                let (name, key) = match &ty.kind {
                    Kind::Array(_) => ("array", "items"),
                    _ => ("map", "values"),
                };
                self.open(name);
                self.key(key);
                self.schema(*inner, namespace);
                self.properties(&ty.properties);
            }
            Kind::Union(branches) => {
                self.out.push('[');
                for (index, branch) in branches.iter().enumerate() {
                    self.comma(index);
                    self.schema(*branch, namespace);
                }
                self.out.push(']');
            }
            Kind::Record(named, _) | Kind::Enum(named, _) | Kind::Fixed(named, _) => {
                if schema.is_referenced(id) || !self.printed.insert(id) {
                    let name = self.short(named, namespace);
                    self.string(&name);
                } else {
                    self.definition(id, named, namespace);
                }
            }
        }
    }

    /// Writes a named type in full.
    fn definition(&mut self, id: TypeId, named: &Named, namespace: &str) {
        let schema = self.schema;
        let ty = &schema.types[id];
        let name = match &ty.kind {
            Kind::Record(..) => "record",
            Kind::Enum(..) => "enum",
            _ => "fixed",
        };
        self.open(name);
        self.name(named, namespace);
        if let Some(doc) = &named.doc {
            self.member("doc", doc);
        }
        match &ty.kind {
            Kind::Record(_, fields) => {
                self.key("fields");
                self.out.push('[');
                for (index, field) in fields.iter().enumerate() {
                    self.comma(index);
                    self.field(field, named.namespace());
                }
                self.out.push(']');
            }
            Kind::Enum(_, symbols) => {
                self.texts("symbols", &symbols.all);
                if let Some(default) = &symbols.default {
                    self.member("default", default);
                }
            }
            Kind::Fixed(_, size) => {
                self.key("size");
                self.out.push_str(&size.to_string());
            }
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => {}
        }
        let aliases = named.aliases.iter().map(|alias| {
            // Without the dot it would be taken for one of the type's namespace.
            let is_bare = !alias.contains('.') && !named.namespace().is_empty();
            if is_bare {
                format!(".{alias}")
            } else {
                alias.clone()
            }
        });
        let aliases: Vec<String> = aliases.collect();
        self.out.push_str(&rest(&ty.properties));
        if !aliases.is_empty() {
            self.texts("aliases", &aliases);
        }
        self.out.push('}');
    }

    /// Writes a field.
    fn field(&mut self, field: &Field, namespace: &str) {
        self.out.push_str("{\"name\":");
        self.string(&field.name);
        self.key("type");
        self.schema(field.type_id, namespace);
        if let Some(doc) = &field.doc {
            self.member("doc", doc);
        }
        if let Some(default) = &field.default {
            self.key("default");
            self.out.push_str(&default.to_string());
        }
        if let Some(order) = &field.order {
            self.member("order", order);
        }
        if !field.aliases.is_empty() {
            self.texts("aliases", &field.aliases);
        }
        self.properties(&field.properties);
    }

    /// Writes the name of a definition.
    fn name(&mut self, named: &Named, namespace: &str) {
        match self.style {
            Style::Normalized => {
                self.member("name", &named.full_name);
                if named.namespace().is_empty() && !namespace.is_empty() {
                    self.member("namespace", "");
                }
            }
            Style::Canonical => {
                self.member("name", named.name());
                if named.namespace() != namespace {
                    self.member("namespace", named.namespace());
                }
            }
        }
    }

    /// The name by which a type is referred to.
    fn short(&self, named: &Named, namespace: &str) -> String {
        let is_short = self.style == Style::Canonical && named.namespace() == namespace;
        if is_short {
            return named.name().to_owned();
        }
        if named.namespace().is_empty() && !namespace.is_empty() {
            // Without the dot it would be taken for one of the namespace in force.
            return format!(".{}", named.full_name);
        }
        named.full_name.clone()
    }

    /// Begins an object of a type.
    fn open(&mut self, name: &str) {
        self.out.push_str("{\"type\":");
        self.string(name);
    }

    /// Writes the remaining attributes and ends the object.
    fn properties(&mut self, properties: &Map<String, Value>) {
        self.out.push_str(&rest(properties));
        self.out.push('}');
    }

    /// Writes a comma before all but the first.
    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.out.push(',');
        }
    }

    /// Writes the key of a further member.
    fn key(&mut self, key: &str) {
        self.out.push(',');
        self.string(key);
        self.out.push(':');
    }

    /// Writes a further member that is a text.
    fn member(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// Writes a further member that is an array of texts.
    fn texts(&mut self, key: &str, texts: &[String]) {
        self.key(key);
        self.out.push_str(&Value::from(texts.to_vec()).to_string());
    }

    /// Writes a text.
    fn string(&mut self, text: &str) {
        self.out.push_str(&Value::from(text).to_string());
    }
}

/// Attributes as further members.
fn rest(properties: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (key, value) in properties {
        text.push(',');
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(&value.to_string());
    }
    text
}
