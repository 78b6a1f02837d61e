//! Whether a Protobuf reader can read what another schema wrote.
//!
//! Place in the flow: registrations and compatibility requests. Invariant: fields are the same by number, never by name; what passes here
//! keeps its wire form.
//!
//! # Source
//! Confluent, "Protobuf Schema Serializer": compatibility rules; Protocol Buffers, "Updating A Message Type": kinds that share a wire form.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::{Budget, Incompatibility, TooComplex, tell};
use crate::schema_registry::language::protobuf::ProtobufSchema;

/// What stands in the way of reading what `original` wrote with `update`.
///
/// # Errors
/// [`TooComplex`] for schemas beyond the bounds.
pub(crate) fn check(
    update: &ProtobufSchema,
    original: &ProtobufSchema,
) -> Result<Vec<Incompatibility>, TooComplex> {
    let mut found = Vec::new();
    if original.file.package() != update.file.package() {
        let what = format!(
            "the writer's package is \"{}\", the reader's \"{}\"",
            original.file.package(),
            update.file.package()
        );
        tell(&mut found, "PACKAGE_CHANGED", "#/", what);
    }
    let mut checker = Checker {
        original: Types::of(original),
        update: Types::of(update),
        compared: BTreeSet::new(),
        budget: Budget::new(),
    };
    let (before, after) = (&original.file.message_type, &update.file.message_type);
    checker.messages(before, after, "#", &mut found)?;
    Ok(found)
}

/// What was found so far.
type Found = Vec<Incompatibility>;

/// The message types of a schema and its imports, by full name with a dot in front.
#[derive(Debug)]
struct Types<'a> {
    /// Each with its package, and whether it is of the schema's own file.
    all: BTreeMap<String, (&'a DescriptorProto, &'a str, bool)>,
}

impl<'a> Types<'a> {
    /// Those of a schema.
    fn of(schema: &'a ProtobufSchema) -> Self {
        let mut types = Self {
            all: BTreeMap::new(),
        };
        for file in &schema.imports {
            types.add_file(file, false);
        }
        types.add_file(&schema.file, true);
        types
    }

    /// Adds those of a file.
    fn add_file(&mut self, file: &'a FileDescriptorProto, is_own: bool) {
        let prefix = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        self.add(&file.message_type, &prefix, (file.package(), is_own));
    }

    /// Adds messages and those within.
    fn add(&mut self, messages: &'a [DescriptorProto], prefix: &str, file: (&'a str, bool)) {
        for message in messages {
            let name = format!("{prefix}.{}", message.name());
            self.add(&message.nested_type, &name, file);
            self.all.insert(name, (message, file.0, file.1));
        }
    }

    /// The entry type of a field that is a map.
    fn entry(&self, field: &FieldDescriptorProto) -> Option<&'a DescriptorProto> {
        let (message, ..) = self.all.get(field.type_name())?;
        is_entry(message).then_some(*message)
    }
}

/// Whether a message is what a map is made of.
fn is_entry(message: &DescriptorProto) -> bool {
    let options = message.options.as_ref();
    options.is_some_and(prost_types::MessageOptions::map_entry)
}

/// What a field is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number as a varint, a truth value or an enum.
    GeneralNumber,
    /// A number as a zigzag varint.
    SignedNumber,
    /// Text or bytes.
    StringOrBytes,
    /// Four bytes of a whole number.
    Fixed32,
    /// Eight bytes of a whole number.
    Fixed64,
    /// Four bytes of a number with a fraction.
    Float,
    /// Eight bytes of a number with a fraction.
    Double,
    /// A message.
    Message,
    /// A map.
    Map,
    /// A group.
    Group,
}

impl Kind {
    /// The kind of a type.
    fn of(ty: Type, is_map: Is) -> Self {
        match ty {
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum => {
                Self::GeneralNumber
            }
            Type::Sint32 | Type::Sint64 => Self::SignedNumber,
            Type::String | Type::Bytes => Self::StringOrBytes,
            Type::Fixed32 | Type::Sfixed32 => Self::Fixed32,
            Type::Fixed64 | Type::Sfixed64 => Self::Fixed64,
            Type::Float => Self::Float,
            Type::Double => Self::Double,
            Type::Message if is_map == Is::Map => Self::Map,
            Type::Message => Self::Message,
            Type::Group => Self::Group,
        }
    }

    /// Whether it holds no other fields.
    fn is_scalar(self) -> bool {
        !matches!(self, Self::Message | Self::Map | Self::Group)
    }
}

/// Whether a field is a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// It is.
    Map,
    /// It is none.
    Other,
}

/// A check that is under way.
#[derive(Debug)]
struct Checker<'a> {
    /// Types of the writer.
    original: Types<'a>,
    /// Types of the reader.
    update: Types<'a>,
    /// Imported messages that were compared, by both names.
    compared: BTreeSet<(String, String)>,
    /// What is left of steps and levels.
    budget: Budget,
}

impl<'a> Checker<'a> {
    /// Compares messages of the same scope by name.
    fn messages(
        &mut self,
        original: &'a [DescriptorProto],
        update: &'a [DescriptorProto],
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let by_name: BTreeMap<&str, &DescriptorProto> = update
            .iter()
            .map(|message| (message.name(), message))
            .collect();
        for message in original.iter().filter(|message| !is_entry(message)) {
            let path = format!("{path}/{}", message.name());
            if let Some(after) = by_name.get(message.name()) {
                self.message(message, after, &path, found)?;
            } else {
                let what = "the reader lacks the writer's message".to_owned();
                tell(found, "MESSAGE_REMOVED", &path, what);
            }
        }
        Ok(())
    }

    /// Compares two messages.
    fn message(
        &mut self,
        original: &'a DescriptorProto,
        update: &'a DescriptorProto,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        self.budget.enter()?;
        check_oneofs(original, update, path, found);
        let by_number = |message: &'a DescriptorProto| -> BTreeMap<i32, &'a FieldDescriptorProto> {
            let fields = message.field.iter();
            fields.map(|field| (field.number(), field)).collect()
        };
        let (before, after) = (by_number(original), by_number(update));
        for (number, field) in &before {
            let path = format!("{path}/{number}");
            if let Some(other) = after.get(number) {
                self.field(field, other, &path, found)?;
            } else if field.label() == Label::Required {
                let what = format!("the reader lacks the required field {}", field.name());
                tell(found, "REQUIRED_FIELD_REMOVED", &path, what);
            }
        }
        for (number, field) in &after {
            let was_required = before
                .get(number)
                .is_some_and(|field| field.label() == Label::Required);
            if field.label() == Label::Required && !was_required {
                let what = format!(
                    "the reader requires {}, which writers may leave out",
                    field.name()
                );
                tell(
                    found,
                    "REQUIRED_FIELD_ADDED",
                    &format!("{path}/{number}"),
                    what,
                );
            }
        }
        self.messages(&original.nested_type, &update.nested_type, path, found)?;
        self.budget.leave();
        Ok(())
    }

    /// Compares two fields of one number.
    fn field(
        &mut self,
        original: &'a FieldDescriptorProto,
        update: &'a FieldDescriptorProto,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let entries = (self.original.entry(original), self.update.entry(update));
        let kind = |field: &FieldDescriptorProto, entry: Option<&DescriptorProto>| {
            let is_map = if entry.is_some() { Is::Map } else { Is::Other };
            Kind::of(field.r#type(), is_map)
        };
        let kinds = (kind(original, entries.0), kind(update, entries.1));
        let types = (type_of(original), type_of(update));
        if kinds.0 != kinds.1 {
            let both_scalar = kinds.0.is_scalar() && kinds.1.is_scalar();
            let told = if both_scalar {
                "FIELD_SCALAR_KIND_CHANGED"
            } else {
                "FIELD_KIND_CHANGED"
            };
            let what = format!(
                "the writer's {} is {}, the reader's {} is {}, which has another wire form",
                original.name(),
                types.0,
                update.name(),
                types.1
            );
            tell(found, told, path, what);
            return Ok(());
        }
        let is_repeated = |field: &FieldDescriptorProto| field.label() == Label::Repeated;
        let is_number = kinds.0.is_scalar() && kinds.0 != Kind::StringOrBytes;
        if is_number && is_repeated(original) != is_repeated(update) {
            let what = "a number is repeated for one side only, and packed for it".to_owned();
            tell(found, "FIELD_NUMERIC_LABEL_CHANGED", path, what);
        }
        match (kinds.0, entries) {
            (Kind::Map, (Some(before), Some(after))) => {
                for (before, after) in before.field.iter().zip(&after.field) {
                    self.field(before, after, path, found)?;
                }
                Ok(())
            }
            (Kind::Message, _) => self.message_types(original, update, path, found),
            _ => Ok(()),
        }
    }

    /// Compares the message types of two fields.
    fn message_types(
        &mut self,
        original: &'a FieldDescriptorProto,
        update: &'a FieldDescriptorProto,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let names = (original.type_name(), update.type_name());
        let both = (self.original.all.get(names.0), self.update.all.get(names.1));
        let (Some(before), Some(after)) = both else {
            return Ok(());
        };
        let (before, after) = (*before, *after);
        if local_name(names.0, before.1) != local_name(names.1, after.1) {
            let what = format!("the writer has a {}, the reader a {}", names.0, names.1);
            tell(found, "FIELD_NAMED_TYPE_CHANGED", path, what);
            return Ok(());
        }
        // Messages of both own files are compared as such.
        let is_own = before.2 && after.2;
        let pair = (names.0.to_owned(), names.1.to_owned());
        if is_own || !self.compared.insert(pair) {
            return Ok(());
        }
        let mut within = Vec::new();
        self.message(before.0, after.0, path, &mut within)?;
        if !within.is_empty() {
            for one in within {
                tell(found, one.kind, &one.path, one.message);
            }
            let what = format!("the two forms of {} do not fit", names.1);
            tell(found, "FIELD_NAMED_TYPE_CHANGED", path, what);
        }
        Ok(())
    }
}

/// A name without its package.
fn local_name<'a>(name: &'a str, package: &str) -> &'a str {
    let name = name.trim_start_matches('.');
    name.strip_prefix(package)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(name)
}

/// The type of a field, for messages.
fn type_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().to_owned(),
        ty => ty.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// The name of the oneof that a field is in; one that `optional` makes up does not count.
fn oneof<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    let index = usize::try_from(index).ok()?;
    Some(message.oneof_decl.get(index)?.name())
}

/// Compares which fields are in which oneof.
fn check_oneofs(
    original: &DescriptorProto,
    update: &DescriptorProto,
    path: &str,
    found: &mut Found,
) {
    let of = |message: &DescriptorProto| -> BTreeMap<i32, Option<String>> {
        let fields = message.field.iter();
        fields
            .map(|field| (field.number(), oneof(message, field).map(str::to_owned)))
            .collect()
    };
    let (before, after) = (of(original), of(update));
    let names: BTreeSet<&String> = after.values().flatten().collect();
    for name in &names {
        let path = format!("{path}/{name}");
        let fields = after
            .iter()
            .filter(|(_, oneof)| oneof.as_ref() == Some(name));
        let known: Vec<&Option<String>> = fields
            .filter_map(|(number, _)| before.get(number))
            .collect();
        let moved = known.iter().filter(|oneof| oneof.is_none()).count();
        let existing = known.len() - moved;
        if moved > 1 {
            let what = format!("{moved} fields that may stand together are in one oneof");
            tell(found, "MULTIPLE_FIELDS_MOVED_TO_ONEOF", &path, what);
        } else if moved == 1 && existing > 0 {
            let what = "a field that may stand beside others is in their oneof".to_owned();
            tell(found, "FIELD_MOVED_TO_EXISTING_ONEOF", &path, what);
        }
    }
    for (number, name) in &before {
        let Some(name) = name.as_ref().filter(|name| names.contains(name)) else {
            continue;
        };
        if after
            .get(number)
            .is_none_or(|oneof| oneof.as_ref() != Some(name))
        {
            let what = format!("the reader's oneof {name} lacks the writer's field {number}");
            tell(
                found,
                "ONEOF_FIELD_REMOVED",
                &format!("{path}/{name}/{number}"),
                what,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema of proto3, or of proto2 if it says so.
    fn parse(text: &str, references: &[(String, String)]) -> ProtobufSchema {
        let text = if text.contains("proto2") {
            text.to_owned()
        } else {
            format!("syntax = \"proto3\"; {text}")
        };
        ProtobufSchema::parse(&text, references).unwrap()
    }

    /// Kinds and paths of what stands in the way of reading `original` with `update`.
    fn kinds(original: &str, update: &str) -> Vec<String> {
        let found = check(&parse(update, &[]), &parse(original, &[])).unwrap();
        found
            .iter()
            .map(|one| format!("{} {}", one.kind, one.path))
            .collect()
    }

    /// Schemas before and after, and what stands in the way.
    const CASES: &[(&str, &str, &[&str])] = &[
        (
            "message A { int32 a = 1; }",
            "message A { int32 b = 1; string c = 2; }",
            &[],
        ),
        ("message A { int32 a = 1; }", "message A {}", &[]),
        (
            "message A {} message B {}",
            "message B {}",
            &["MESSAGE_REMOVED #/A"],
        ),
        (
            "message B {} message A {}",
            "message A {} message B {} message C {}",
            &[],
        ),
        (
            "message A { message B {} }",
            "message A {}",
            &["MESSAGE_REMOVED #/A/B"],
        ),
        (
            "package a; message A {}",
            "package b; message A {}",
            &["PACKAGE_CHANGED #/"],
        ),
        (
            "message A { int32 a = 1; }",
            "message A { string a = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { A a = 1; }",
            "message A { string a = 1; }",
            &["FIELD_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { map<int32, A> a = 1; }",
            "message A { repeated A a = 1; }",
            &["FIELD_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { map<int32, A> a = 1; }",
            "message A { map<int64, A> a = 1; }",
            &[],
        ),
        (
            "message A { map<int32, A> a = 1; }",
            "message A { map<sint32, A> a = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1"],
        ),
        (
            "message A { int32 a = 1; }",
            "enum E { Z = 0; } message A { E a = 1; }",
            &[],
        ),
        (
            "message A { B a = 1; } message B {} message C {}",
            "message A { C a = 1; } message B {} message C {}",
            &["FIELD_NAMED_TYPE_CHANGED #/A/1"],
        ),
        (
            "message A { int32 a = 1; }",
            "message A { repeated int32 a = 1; }",
            &["FIELD_NUMERIC_LABEL_CHANGED #/A/1"],
        ),
        (
            "message A { string a = 1; }",
            "message A { repeated string a = 1; }",
            &[],
        ),
        (
            "message A { string a = 1; }",
            "message A { optional string a = 1; }",
            &[],
        ),
        (
            "message A { string a = 1; }",
            "message A { oneof o { string a = 1; int32 b = 2; } }",
            &[],
        ),
        (
            "message A { string a = 1; int32 b = 2; }",
            "message A { oneof o { string a = 1; int32 b = 2; } }",
            &["MULTIPLE_FIELDS_MOVED_TO_ONEOF #/A/o"],
        ),
        (
            "message A { string a = 1; oneof o { int32 b = 2; } }",
            "message A { oneof o { string a = 1; int32 b = 2; } }",
            &["FIELD_MOVED_TO_EXISTING_ONEOF #/A/o"],
        ),
        (
            "message A { oneof o { string a = 1; int32 b = 2; } }",
            "message A { oneof o { string a = 1; } }",
            &["ONEOF_FIELD_REMOVED #/A/o/2"],
        ),
        (
            "message A { oneof o { string a = 1; int32 b = 2; } }",
            "message A { string a = 1; int32 b = 2; }",
            &[],
        ),
        (
            "message A { oneof o { int32 a = 1; } }",
            "message A { oneof p { string a = 1; } }",
            &["FIELD_SCALAR_KIND_CHANGED #/A/1"],
        ),
        (
            "syntax = \"proto2\"; message A {}",
            "syntax = \"proto2\"; message A { required int32 a = 1; }",
            &["REQUIRED_FIELD_ADDED #/A/1"],
        ),
        (
            "syntax = \"proto2\"; message A { required int32 a = 1; }",
            "syntax = \"proto2\"; message A {}",
            &["REQUIRED_FIELD_REMOVED #/A/1"],
        ),
        (
            "syntax = \"proto2\"; message A { optional int32 a = 1; }",
            "syntax = \"proto2\"; message A { required int32 a = 1; }",
            &["REQUIRED_FIELD_ADDED #/A/1"],
        ),
        (
            "message A { int32 a = 1; }",
            "message A { reserved 1; reserved \"a\"; }",
            &[],
        ),
        (
            "enum E { Z = 0; O = 1; } message A { E e = 1; }",
            "enum E { Z = 0; T = 1; } message A { E e = 1; }",
            &[],
        ),
    ];

    #[test]
    fn changes_and_what_stands_in_their_way() {
        for (before, after, expected) in CASES {
            assert_eq!(kinds(before, after), *expected, "{before} to {after}");
            let none: [&str; 0] = [];
            assert_eq!(kinds(before, before), none, "{before} to itself");
            assert_eq!(kinds(after, after), none, "{after} to itself");
        }
    }

    #[test]
    fn kinds_of_one_wire_form_replace_one_another() {
        let groups: [&[&str]; 7] = [
            &["int32", "int64", "uint32", "uint64", "bool"],
            &["sint32", "sint64"],
            &["string", "bytes"],
            &["fixed32", "sfixed32"],
            &["fixed64", "sfixed64"],
            &["float"],
            &["double"],
        ];
        let all = groups.iter().enumerate();
        let all: Vec<(usize, &str)> = all
            .flat_map(|(group, names)| names.iter().map(move |name| (group, *name)))
            .collect();
        for (group, name) in &all {
            for (other_group, other) in &all {
                let message = |ty: &str| format!("message A {{ {ty} a = 1; }}");
                let fits = kinds(&message(name), &message(other)).is_empty();
                assert_eq!(fits, group == other_group, "{name} to {other}");
            }
        }
    }

    #[test]
    fn imported_messages_are_compared_where_they_are_used() {
        let text = "import \"b.proto\"; message A { b.B b = 1; }";
        let with = |field: &str| {
            let b = format!(
                "syntax = \"proto3\"; package b; message B {{ {field} x = 1; B next = 2; }}"
            );
            parse(text, &[("b.proto".to_owned(), b)])
        };
        assert_eq!(check(&with("int64"), &with("int32")), Ok(Vec::new()));
        let found = check(&with("string"), &with("int32")).unwrap();
        let kinds: Vec<_> = found.iter().map(|one| one.kind).collect();
        assert_eq!(
            kinds,
            ["FIELD_SCALAR_KIND_CHANGED", "FIELD_NAMED_TYPE_CHANGED"]
        );
    }
}
