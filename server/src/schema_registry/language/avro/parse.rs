//! Reads Avro schemas.
//!
//! Place in the flow: texts of registrations and of stored schemas enter here. Invariant: every name that a type refers to is defined
//! before it, by the schema itself or by a reference. Depth is bounded by that of JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{AvroSchema, Field, Kind, Named, Primitive, Symbols, Type, TypeId};

/// Reads a schema; named types of `references` are known in it.
pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<AvroSchema, String> {
    let mut parser = Parser::default();
    for (name, text) in references {
        parser
            .text(text)
            .map_err(|error| format!("reference \"{name}\": {error}"))?;
    }
    let of_references = parser.types.len();
    let root = parser.text(text)?;
    Ok(AvroSchema {
        types: parser.types,
        root,
        referenced: of_references,
    })
}

/// What is defined so far.
#[derive(Debug, Default)]
struct Parser {
    /// Every type.
    types: Vec<Type>,
    /// Named ones by their full name.
    names: BTreeMap<String, TypeId>,
}

/// Where a type stands.
#[derive(Debug, Clone)]
struct Place {
    /// As a JSON pointer.
    path: String,
    /// Namespace of names without one; empty for none.
    namespace: String,
}

impl Place {
    /// A place below.
    fn below(&self, step: &str) -> Self {
        Self {
            path: format!("{}/{step}", self.path),
            namespace: self.namespace.clone(),
        }
    }

    /// An error here.
    fn error<T>(&self, what: impl AsRef<str>) -> Result<T, String> {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        Err(format!("at {path}: {}", what.as_ref()))
    }
}

impl Parser {
    /// Reads a text.
    fn text(&mut self, text: &str) -> Result<TypeId, String> {
        // A type alone may stand without quotes: registries take it so.
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        let quoted = is_word.then(|| format!("\"{text}\""));
        let text = quoted.as_deref().unwrap_or(text);
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let place = Place {
            path: String::new(),
            namespace: String::new(),
        };
        self.schema(&json, &place)
    }

    /// Keeps a type.
    fn push(&mut self, kind: Kind, properties: Map<String, Value>) -> TypeId {
        self.types.push(Type { kind, properties });
        self.types.len() - 1
    }

    /// Reads a type.
    fn schema(&mut self, json: &Value, place: &Place) -> Result<TypeId, String> {
        match json {
            Value::String(name) => self.named(name, place),
            Value::Array(branches) => self.union(branches, place),
            Value::Object(members) => self.object(members, place),
            Value::Null | Value::Bool(_) | Value::Number(_) => place.error(format!(
                "a type is a name, an object or an array, not {json}"
            )),
        }
    }

    /// The type of a name.
    fn named(&mut self, name: &str, place: &Place) -> Result<TypeId, String> {
        if let Some(primitive) = Primitive::parse(name) {
            return Ok(self.push(Kind::Primitive(primitive), Map::new()));
        }
        let qualified = qualify(name, &place.namespace);
        match self.names.get(&qualified).or_else(|| self.names.get(name)) {
            Some(id) => Ok(*id),
            None => place.error(format!(
                "no type is named {qualified}; define it before its first use or name its schema among the references"
            )),
        }
    }

    /// Reads a union.
    fn union(&mut self, branches: &[Value], place: &Place) -> Result<TypeId, String> {
        let mut seen = BTreeSet::new();
        let mut ids = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let place = place.below(&index.to_string());
            let id = self.schema(branch, &place)?;
            let name = match &self.types[id].kind {
                Kind::Union(_) => return place.error("there is a union in a union"),
                Kind::Primitive(primitive) => primitive.as_str(),
                Kind::Array(_) => "array",
                Kind::Map(_) => "map",
                Kind::Record(named, _) | Kind::Enum(named, _) | Kind::Fixed(named, _) => {
                    &named.full_name
                }
            };
            if !seen.insert(name.to_owned()) {
                return place.error(format!("the union has {name} twice"));
            }
            ids.push(id);
        }
        Ok(self.push(Kind::Union(ids), Map::new()))
    }

    /// Reads a type that is an object.
    fn object(&mut self, members: &Map<String, Value>, place: &Place) -> Result<TypeId, String> {
        let name = match members.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(inner @ (Value::Object(_) | Value::Array(_))) => {
                return self.schema(inner, &place.below("type"));
            }
            Some(_) | None => return place.error("an object needs a type"),
        };
        match name {
            "record" | "error" => self.record(members, place),
            "enum" => self.enumeration(members, place),
            "fixed" => self.fixed(members, place),
            "array" | "map" => {
                let inner = if name == "array" { "items" } else { "values" };
                let Some(json) = members.get(inner) else {
                    return place.error(format!("{name} needs {inner}"));
                };
                let id = self.schema(json, &place.below(inner))?;
                let kind = if name == "array" {
                    Kind::Array(id)
                } else {
                    Kind::Map(id)
                };
                Ok(self.push(kind, others(members, &["type", inner])))
            }
            name => match Primitive::parse(name) {
                Some(primitive) => {
                    Ok(self.push(Kind::Primitive(primitive), others(members, &["type"])))
                }
                None => self.named(name, place),
            },
        }
    }

    /// Reads a record.
    fn record(&mut self, members: &Map<String, Value>, place: &Place) -> Result<TypeId, String> {
        let (named, place) = self.name(members, place)?;
        let Some(Value::Array(json)) = members.get("fields") else {
            return place.error("a record needs fields, an array");
        };
        let keys = ["type", "name", "namespace", "doc", "aliases", "fields"];
        let full_name = named.full_name.clone();
        let record = Kind::Record(named, Vec::new());
        let id = self.push(record, others(members, &keys));
        // Before its fields, which may refer to it.
        self.names.insert(full_name, id);
        let mut seen = BTreeSet::new();
        let mut read = Vec::with_capacity(json.len());
        for (index, field) in json.iter().enumerate() {
            let place = place.below("fields").below(&index.to_string());
            let field = self.field(field, &place)?;
            if !seen.insert(field.name.clone()) {
                return place.error(format!("there are two fields {}", field.name));
            }
            read.push(field);
        }
        if let Kind::Record(_, fields) = &mut self.types[id].kind {
            *fields = read;
        }
        Ok(id)
    }

    /// Reads a field.
    fn field(&mut self, json: &Value, place: &Place) -> Result<Field, String> {
        let Value::Object(members) = json else {
            return place.error("a field is an object");
        };
        let name = match members.get("name") {
            Some(Value::String(name)) if is_name(name) => name.clone(),
            Some(other) => return place.error(format!("{other} is no name of a field")),
            None => return place.error("a field needs a name"),
        };
        let Some(json) = members.get("type") else {
            return place.error(format!("field {name} needs a type"));
        };
        let order = text(members, "order", place)?.filter(|order| order != "ascending");
        if let Some(order) = &order
            && !matches!(order.as_str(), "descending" | "ignore")
        {
            return place.error(format!("{order} is no order"));
        }
        let keys = ["name", "type", "doc", "default", "order", "aliases"];
        Ok(Field {
            name,
            type_id: self.schema(json, &place.below("type"))?,
            default: members.get("default").cloned(),
            aliases: texts(members, "aliases", place)?,
            doc: text(members, "doc", place)?,
            order,
            properties: others(members, &keys),
        })
    }

    /// Reads an enumeration.
    fn enumeration(
        &mut self,
        members: &Map<String, Value>,
        place: &Place,
    ) -> Result<TypeId, String> {
        let (named, place) = self.name(members, place)?;
        if !members.contains_key("symbols") {
            return place.error("an enum needs symbols, an array of names");
        }
        let all = texts(members, "symbols", &place)?;
        let mut seen = BTreeSet::new();
        for (index, symbol) in all.iter().enumerate() {
            let place = place.below("symbols").below(&index.to_string());
            if !is_name(symbol) {
                return place.error(format!("{symbol:?} is no symbol"));
            }
            if !seen.insert(symbol) {
                return place.error(format!("symbol {symbol} is there twice"));
            }
        }
        let default = text(members, "default", &place)?;
        if let Some(default) = &default
            && !all.contains(default)
        {
            return place.error(format!("the default {default} is none of the symbols"));
        }
        let keys = [
            "type",
            "name",
            "namespace",
            "doc",
            "aliases",
            "symbols",
            "default",
        ];
        let full_name = named.full_name.clone();
        let kind = Kind::Enum(named, Symbols { all, default });
        let id = self.push(kind, others(members, &keys));
        self.names.insert(full_name, id);
        Ok(id)
    }

    /// Reads a fixed.
    fn fixed(&mut self, members: &Map<String, Value>, place: &Place) -> Result<TypeId, String> {
        let (named, place) = self.name(members, place)?;
        let Some(size) = members.get("size").and_then(Value::as_u64) else {
            return place.error("a fixed needs a size, a whole number of bytes");
        };
        let keys = ["type", "name", "namespace", "doc", "aliases", "size"];
        let full_name = named.full_name.clone();
        let id = self.push(Kind::Fixed(named, size), others(members, &keys));
        self.names.insert(full_name, id);
        Ok(id)
    }

    /// The name of a type, and the place with its namespace.
    fn name(&self, members: &Map<String, Value>, place: &Place) -> Result<(Named, Place), String> {
        let Some(Value::String(name)) = members.get("name") else {
            return place.error("a record, enum or fixed needs a name");
        };
        let namespace = text(members, "namespace", place)?;
        let full_name = qualify(name, namespace.as_deref().unwrap_or(&place.namespace));
        if !full_name.split('.').all(is_name) {
            return place.error(format!("{full_name:?} is no name of a type"));
        }
        if Primitive::parse(&full_name).is_some() {
            return place.error(format!("{full_name} cannot be defined anew"));
        }
        if self.names.contains_key(&full_name) {
            return place.error(format!("{full_name} is defined twice"));
        }
        let mut named = Named {
            full_name,
            aliases: Vec::new(),
            doc: text(members, "doc", place)?,
        };
        let inner = Place {
            path: place.path.clone(),
            namespace: named.namespace().to_owned(),
        };
        named.aliases = texts(members, "aliases", place)?
            .iter()
            .map(|alias| qualify(alias, &inner.namespace))
            .collect();
        Ok((named, inner))
    }
}

/// A name with the namespace where it has none.
fn qualify(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        // A dot alone in front stands for no namespace.
        name.strip_prefix('.').unwrap_or(name).to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// Whether a part of a name is what Avro takes.
fn is_name(name: &str) -> bool {
    name.chars().enumerate().all(|(index, letter)| {
        letter == '_' || letter.is_alphabetic() || (index > 0 && letter.is_numeric())
    }) && !name.is_empty()
}

/// An attribute that is a text.
fn text(members: &Map<String, Value>, key: &str, place: &Place) -> Result<Option<String>, String> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => place.error(format!("{key} is a text, not {other}")),
    }
}

/// An attribute that is an array of texts.
fn texts(members: &Map<String, Value>, key: &str, place: &Place) -> Result<Vec<String>, String> {
    let wrong = || place.error(format!("{key} is an array of texts"));
    match members.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(elements)) => {
            let texts = elements.iter().map(|element| element.as_str());
            let texts: Option<Vec<_>> = texts.map(|text| text.map(str::to_owned)).collect();
            texts.map_or_else(wrong, Ok)
        }
        Some(_) => wrong(),
    }
}

/// Attributes other than those with a meaning here.
fn others(members: &Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    members
        .iter()
        .filter(|(key, _)| !keys.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
