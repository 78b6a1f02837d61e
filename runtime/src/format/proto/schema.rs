//! The Protobuf schema of a table's key or value.
//!
//! Place in the flow: the encoder writes by it and registers it once per subject. Invariant: equal fields give the same text, so that
//! registering again finds the schema that is there, and the number of a field is its place from 1.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Data type mappings": Protobuf.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::proto::meta::{
    CONNECT_TYPE, FLINK_TYPE, MAX_LENGTH, MIN_LENGTH, PRECISION, WRAPPED,
};
use crate::format::proto::parse::parse;
use crate::format::rows::check_name;
use crate::types::{self, FlinkType, TypeKind};

/// The name of the outer message. It is in no package: in Confluent's, `io.confluent.protobuf.generated`, compilers would look for
/// `confluent.field_meta` below `io`.
const ROOT: &str = "Row";

/// The name of the only field of a message that only holds a value.
pub(super) const VALUE: &str = "value";

/// The precision of times that an annotation is left out for.
pub(super) const TIME_PRECISION: u8 = 3;

/// The precision of timestamps that an annotation is left out for.
pub(super) const TIMESTAMP_PRECISION: u8 = 9;

/// The element count of a multiset.
pub(super) const COUNT: FlinkType = FlinkType {
    kind: TypeKind::Int,
    nullable: false,
};

/// The Protobuf schema of fields, as text.
///
/// # Errors
/// `Unsupported` for types without a form; `Invalid` for names that Protobuf does not take.
pub fn proto_schema_of(fields: &[FormatField]) -> Result<String> {
    let members: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
    let mut deriver = Deriver {
        imports: BTreeSet::new(),
    };
    let body = deriver.message(ROOT, &members, ROOT, 0)?;
    let mut text = "syntax = \"proto3\";\n\n".to_owned();
    for import in &deriver.imports {
        writeln!(text, "import \"{import}\";").map_err(unwritten)?;
    }
    if !deriver.imports.is_empty() {
        text.push('\n');
    }
    text.push_str(&body);
    // What the derivation does not see is found by reading it back: names that become one in JSON, or nesting too deep.
    parse(&text, &[])
        .map_err(|why| Error::validation(format!("the Protobuf schema of the columns: {why}")))?;
    Ok(text)
}

/// A string that cannot be written to, of which there is none.
fn unwritten(_: std::fmt::Error) -> Error {
    Error::internal("a schema was not written")
}

/// Whether the value of a type is in a message of its own: an array or map, which cannot be absent by itself.
pub(super) fn is_wrapped(ty: &FlinkType) -> bool {
    ty.nullable && is_repeated(&ty.kind)
}

/// Whether an element of a type is in a message of its own: it may be NULL, or is itself of many values.
pub(super) fn is_wrapped_element(ty: &FlinkType) -> bool {
    ty.nullable || is_repeated(&ty.kind)
}

/// Whether values of a type are of many values.
fn is_repeated(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_)
    )
}

/// Derives a schema.
#[derive(Debug)]
struct Deriver {
    /// Files that it imports.
    imports: BTreeSet<&'static str>,
}

/// A message under construction.
struct Scope<'a> {
    /// Its full name.
    full: &'a str,
    /// Names of its fields and of messages in it.
    taken: BTreeSet<String>,
    /// Texts of messages in it.
    nested: Vec<String>,
    /// How deep it is.
    depth: usize,
}

/// A field's type, and what is said about it.
struct Declared {
    /// Its type, full.
    ty: String,
    /// Annotations.
    params: Vec<(&'static str, String)>,
}

impl Declared {
    /// A type without annotations.
    fn plain(ty: &str) -> Self {
        Self {
            ty: ty.to_owned(),
            params: Vec::new(),
        }
    }

    /// A type with annotations, and the version of them.
    fn flink(ty: &str, mut params: Vec<(&'static str, String)>) -> Self {
        if !params.is_empty() {
            params.push(("flink.version", "1".to_owned()));
        }
        Self {
            ty: ty.to_owned(),
            params,
        }
    }
}

impl Deriver {
    /// The text of a message with members.
    fn message(
        &mut self,
        name: &str,
        members: &[(&str, &FlinkType)],
        full: &str,
        depth: usize,
    ) -> Result<String> {
        let mut scope = Scope {
            full,
            taken: members.iter().map(|(name, _)| (*name).to_owned()).collect(),
            nested: Vec::new(),
            depth: depth + 1,
        };
        let indent = "  ".repeat(depth);
        let mut text = format!("{indent}message {name} {{\n");
        for (place, (field, ty)) in members.iter().enumerate() {
            check_name(field, "Protobuf")?;
            let line = self
                .field(&mut scope, field, ty)
                .map_err(|error| error.context(&format!("field {field}")))?;
            let (declaration, params) = line;
            write!(text, "{indent}  {declaration} {field} = {}", place + 1).map_err(unwritten)?;
            text.push_str(&annotation(&params, &indent));
            text.push_str(";\n");
        }
        for nested in scope.nested {
            text.push('\n');
            text.push_str(&nested);
        }
        writeln!(text, "{indent}}}").map_err(unwritten)?;
        Ok(text)
    }

    /// Label and type of a field, and its annotations.
    fn field(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        ty: &FlinkType,
    ) -> Result<(String, Vec<(&'static str, String)>)> {
        let label = if ty.nullable { "optional " } else { "" };
        let (label, declared) = if is_wrapped(ty) {
            let inner = ty.with_nullable(false);
            (
                label,
                self.wrapper(scope, (name, "RepeatedWrapper"), &inner)?,
            )
        } else {
            match &ty.kind {
                TypeKind::Array(element) => ("repeated ", self.element(scope, name, element)?),
                TypeKind::Map(key, value) => ("repeated ", self.entry(scope, name, (key, value))?),
                TypeKind::Multiset(element) => {
                    ("repeated ", self.entry(scope, name, (element, &COUNT))?)
                }
                kind => (label, self.single(scope, name, kind)?),
            }
        };
        let mut params = declared.params;
        if matches!(ty.kind, TypeKind::Multiset(_))
            && !params.iter().any(|(key, _)| *key == WRAPPED)
        {
            params.push((FLINK_TYPE, "multiset".to_owned()));
            params.push(("flink.version", "1".to_owned()));
        }
        if !params.is_empty() {
            self.imports.insert("confluent/meta.proto");
        }
        Ok((format!("{label}{}", declared.ty), params))
    }

    /// The type of elements of an array.
    fn element(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        element: &FlinkType,
    ) -> Result<Declared> {
        if is_wrapped_element(element) {
            self.wrapper(scope, (name, "ElementWrapper"), element)
        } else {
            self.single(scope, name, &element.kind)
        }
    }

    /// The type of a message that only holds a value.
    fn wrapper(
        &mut self,
        scope: &mut Scope<'_>,
        (name, suffix): (&str, &str),
        ty: &FlinkType,
    ) -> Result<Declared> {
        let full = self.nest(scope, &format!("{name}{suffix}"), &[(VALUE, ty)])?;
        Ok(Declared::flink(&full, vec![(WRAPPED, "true".to_owned())]))
    }

    /// The type of the entries of a map.
    fn entry(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        (key, value): (&FlinkType, &FlinkType),
    ) -> Result<Declared> {
        let key = key.with_nullable(false);
        let members = [("key", &key), (VALUE, value)];
        let full = self.nest(scope, &entry_name(name), &members)?;
        Ok(Declared::plain(&full))
    }

    /// Declares a message in another one; its full name.
    fn nest(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        members: &[(&str, &FlinkType)],
    ) -> Result<String> {
        // A number goes before the suffix that tells entries from other messages.
        let (stem, suffix) = name
            .strip_suffix(ENTRY)
            .map_or((name, ""), |stem| (stem, ENTRY));
        let mut given = name.to_owned();
        let mut number = 1_usize;
        while !scope.taken.insert(given.clone()) {
            number += 1;
            given = format!("{stem}_{number}{suffix}");
        }
        let full = format!("{}.{given}", scope.full);
        let text = self.message(&given, members, &full, scope.depth)?;
        scope.nested.push(text);
        Ok(format!(".{full}"))
    }

    /// The type of one value.
    fn single(&mut self, scope: &mut Scope<'_>, name: &str, kind: &TypeKind) -> Result<Declared> {
        let connect = |ty: &str| Declared {
            ty: "int32".to_owned(),
            params: vec![(CONNECT_TYPE, ty.to_owned())],
        };
        Ok(match kind {
            TypeKind::Boolean => Declared::plain("bool"),
            TypeKind::TinyInt => connect("int8"),
            TypeKind::SmallInt => connect("int16"),
            TypeKind::Int => Declared::plain("int32"),
            TypeKind::BigInt => Declared::plain("int64"),
            TypeKind::Float => Declared::plain("float"),
            TypeKind::Double => Declared::plain("double"),
            TypeKind::Char(n) => Declared::flink("string", exactly(*n)),
            TypeKind::Binary(n) => Declared::flink("bytes", exactly(*n)),
            TypeKind::VarChar(n) => Declared::flink("string", at_most(*n)),
            TypeKind::VarBinary(n) => Declared::flink("bytes", at_most(*n)),
            TypeKind::Decimal { precision, scale } => {
                self.imports.insert("confluent/type/decimal.proto");
                Declared {
                    ty: ".confluent.type.Decimal".to_owned(),
                    params: vec![
                        ("precision", precision.to_string()),
                        ("scale", scale.to_string()),
                    ],
                }
            }
            TypeKind::Date => {
                self.imports.insert("google/type/date.proto");
                Declared::plain(".google.type.Date")
            }
            TypeKind::Time(p) if *p <= 3 => {
                self.imports.insert("google/type/timeofday.proto");
                Declared::flink(".google.type.TimeOfDay", precise(*p, TIME_PRECISION))
            }
            TypeKind::Timestamp(p) => {
                self.imports.insert("google/protobuf/timestamp.proto");
                let mut params = precise(*p, TIMESTAMP_PRECISION);
                params.push((FLINK_TYPE, "timestamp".to_owned()));
                Declared::flink(".google.protobuf.Timestamp", params)
            }
            TypeKind::TimestampLtz(p) => {
                self.imports.insert("google/protobuf/timestamp.proto");
                let params = precise(*p, TIMESTAMP_PRECISION);
                Declared::flink(".google.protobuf.Timestamp", params)
            }
            TypeKind::Row(fields) => {
                let members: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
                Declared::plain(&self.nest(scope, &format!("{name}_{ROOT}"), &members)?)
            }
            TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) => {
                return Err(Error::internal(format!("{kind} is of many values")));
            }
            TypeKind::Null
            | TypeKind::Bitmap
            | TypeKind::Variant
            | TypeKind::Time(_)
            | TypeKind::IntervalYearMonth
            | TypeKind::IntervalDayTime => {
                return Err(Error::unsupported(format!(
                    "Protobuf has no form for {kind}"
                )));
            }
        })
    }
}

/// What the names of entries of maps end with.
const ENTRY: &str = "Entry";

/// The name of the entries of a map, as Confluent derives it: words that `_` separates begin with a capital.
fn entry_name(field: &str) -> String {
    let mut name = String::new();
    for word in field.split('_') {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            name.push(first.to_ascii_uppercase());
            name.push_str(letters.as_str());
        }
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.insert_str(0, "Map");
    }
    name + ENTRY
}

/// Annotations of values of one length.
fn exactly(length: u32) -> Vec<(&'static str, String)> {
    vec![
        (MAX_LENGTH, length.to_string()),
        (MIN_LENGTH, length.to_string()),
    ]
}

/// Annotations of values of a greatest length.
fn at_most(length: u32) -> Vec<(&'static str, String)> {
    if length == types::MAX_LENGTH {
        Vec::new()
    } else {
        vec![(MAX_LENGTH, length.to_string())]
    }
}

/// Annotations of times.
fn precise(precision: u8, default: u8) -> Vec<(&'static str, String)> {
    if precision == default {
        Vec::new()
    } else {
        vec![(PRECISION, precision.to_string())]
    }
}

/// The text of annotations.
fn annotation(params: &[(&'static str, String)], indent: &str) -> String {
    if params.is_empty() {
        return String::new();
    }
    let entries: Vec<String> = params
        .iter()
        .map(|(key, value)| format!("{indent}      {{ key: \"{key}\", value: \"{value}\" }}"))
        .collect();
    format!(
        " [(confluent.field_meta) = {{\n{indent}    params: [\n{}\n{indent}    ]\n{indent}  }}]",
        entries.join(",\n")
    )
}
