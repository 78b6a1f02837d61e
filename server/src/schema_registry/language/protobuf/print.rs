//! Writes the text of a descriptor.
//!
//! Place in the flow: clients that register serialized descriptors, as Python's serializer does. Invariant: the text compiles to the
//! descriptor that it was written from; one that has no text, such as one with groups, is refused and not changed.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
};
use protox::file::File;
use protox::prost::Message as _;
use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MapKey, Value,
};

use super::{OWN_NAME, compile, told};

/// The text of a serialized descriptor.
///
/// # Errors
/// What is wrong with it.
pub(super) fn source_of(bytes: &[u8], references: &[(String, String)]) -> Result<String, String> {
    let mut proto = FileDescriptorProto::decode(bytes)
        .map_err(|error| format!("it is neither a .proto text nor a descriptor: {error}"))?;
    let name = proto.name().to_owned();
    proto.name = Some(OWN_NAME.to_owned());
    // A second name wins over the first, and what `proto` has no place for stays.
    let mut named = bytes.to_vec();
    let rename = FileDescriptorProto {
        name: proto.name.clone(),
        ..FileDescriptorProto::default()
    };
    named.extend(rename.encode_to_vec());
    let own = File::decode_file_descriptor_proto(named.as_slice())
        .map_err(|error| format!("{name} is no descriptor: {error}"))?;
    let compiler = compile(own, references)?;
    let printer = Printer {
        pool: compiler.descriptor_pool(),
        is_proto2: matches!(proto.syntax(), "" | "proto2"),
    };
    let text = printer.file(&proto).map_err(|what| {
        format!("{name} has {what}, which has no text here; register its .proto text")
    })?;
    let again = File::from_source(OWN_NAME, &text).map_err(|error| told(&error))?;
    let again = compile(again, references)?.file_descriptor_set().file;
    let again = again.into_iter().find(|file| file.name() == OWN_NAME);
    let before = compiler.file_descriptor_set().file;
    let before = before.into_iter().find(|file| file.name() == OWN_NAME);
    let (again, before) = (again.map(bare), before.map(bare));
    if again == before {
        Ok(text)
    } else {
        Err(format!(
            "{name} has parts that have no text here; register its .proto text"
        ))
    }
}

/// A descriptor without what texts need not say.
fn bare(mut file: FileDescriptorProto) -> FileDescriptorProto {
    file.source_code_info = None;
    if file.syntax() == "proto2" {
        file.syntax = None;
    }
    unless_empty(&mut file.options);
    file.message_type.iter_mut().for_each(bare_message);
    file.enum_type.iter_mut().for_each(bare_enum);
    bare_fields(&mut file.extension);
    file
}

/// As [`bare`], of a message.
fn bare_message(message: &mut DescriptorProto) {
    unless_empty(&mut message.options);
    bare_fields(&mut message.field);
    bare_fields(&mut message.extension);
    for oneof in &mut message.oneof_decl {
        unless_empty(&mut oneof.options);
    }
    message.nested_type.iter_mut().for_each(bare_message);
    message.enum_type.iter_mut().for_each(bare_enum);
}

/// As [`bare`], of fields.
fn bare_fields(fields: &mut [FieldDescriptorProto]) {
    for field in fields {
        unless_empty(&mut field.options);
    }
}

/// As [`bare`], of an enumeration.
fn bare_enum(one: &mut EnumDescriptorProto) {
    unless_empty(&mut one.options);
    for value in &mut one.value {
        unless_empty(&mut value.options);
    }
}

/// Makes options that say nothing none: those of others leave an empty place here.
fn unless_empty<T: Default + PartialEq>(options: &mut Option<T>) {
    if options.as_ref() == Some(&T::default()) {
        *options = None;
    }
}

/// Writes descriptors.
#[derive(Debug)]
struct Printer {
    /// Knows the options of others.
    pool: DescriptorPool,
    /// Whether labels are written out.
    is_proto2: bool,
}

/// A part that has no text here.
type Unwritable = &'static str;

impl Printer {
    /// The text of a file.
    fn file(&self, file: &FileDescriptorProto) -> Result<String, Unwritable> {
        let mut out = format!(
            "syntax = \"{}\";\n",
            if self.is_proto2 { "proto2" } else { "proto3" }
        );
        if !matches!(file.syntax(), "" | "proto2" | "proto3") {
            return Err("an edition");
        }
        if !file.package().is_empty() {
            line(&mut out, 0, &format!("package {};", file.package()));
        }
        for (index, name) in (0..).zip(&file.dependency) {
            let kind = match index {
                index if file.public_dependency.contains(&index) => "public ",
                index if file.weak_dependency.contains(&index) => "weak ",
                _ => "",
            };
            line(
                &mut out,
                0,
                &format!("import {kind}{};", quoted(name.as_bytes())),
            );
        }
        if let Some(descriptor) = self.pool.get_file_by_name(OWN_NAME) {
            statements(&mut out, 0, &descriptor.options());
        }
        let prefix = match file.package() {
            "" => String::new(),
            package => format!("{package}."),
        };
        for message in &file.message_type {
            self.message(&mut out, 0, &prefix, message)?;
        }
        for one in &file.enum_type {
            self.enumeration(&mut out, 0, &prefix, one);
        }
        self.extensions(&mut out, 0, &prefix, &file.extension)?;
        for service in &file.service {
            self.service(&mut out, &prefix, service);
        }
        Ok(out)
    }

    /// Writes a message whose name goes on from `prefix`.
    fn message(
        &self,
        out: &mut String,
        depth: usize,
        prefix: &str,
        message: &DescriptorProto,
    ) -> Result<(), Unwritable> {
        let name = format!("{prefix}{}", message.name());
        let inner = format!("{name}.");
        line(out, depth, &format!("message {} {{", message.name()));
        let descriptor = self.pool.get_message_by_name(&name);
        if let Some(descriptor) = &descriptor {
            statements(out, depth + 1, &descriptor.options());
        }
        self.fields(out, depth + 1, &inner, message)?;
        for nested in &message.nested_type {
            if !nested
                .options
                .as_ref()
                .is_some_and(prost_types::MessageOptions::map_entry)
            {
                self.message(out, depth + 1, &inner, nested)?;
            }
        }
        for one in &message.enum_type {
            self.enumeration(out, depth + 1, &inner, one);
        }
        for range in &message.extension_range {
            if range.options.is_some() {
                return Err("an extension range with options");
            }
            let text = format!("extensions {} to {};", range.start(), range.end() - 1);
            line(out, depth + 1, &text);
        }
        self.extensions(out, depth + 1, &inner, &message.extension)?;
        for range in &message.reserved_range {
            let text = format!("reserved {} to {};", range.start(), range.end() - 1);
            line(out, depth + 1, &text);
        }
        reserved_names(out, depth + 1, &message.reserved_name);
        line(out, depth, "}");
        Ok(())
    }

    /// Writes the fields of a message, those of a oneof within it.
    fn fields(
        &self,
        out: &mut String,
        depth: usize,
        prefix: &str,
        message: &DescriptorProto,
    ) -> Result<(), Unwritable> {
        let mut begun = Vec::new();
        let owner =
            |field: &FieldDescriptorProto| field.oneof_index.filter(|_| !field.proto3_optional());
        for field in &message.field {
            let Some(oneof) = owner(field) else {
                let text = self.field(prefix, field, message)?;
                line(out, depth, &text);
                continue;
            };
            if begun.contains(&oneof) {
                continue;
            }
            begun.push(oneof);
            let index = usize::try_from(oneof).unwrap_or(usize::MAX);
            let declared = message.oneof_decl.get(index).ok_or("a broken oneof")?;
            line(out, depth, &format!("oneof {} {{", declared.name()));
            let path = format!("{prefix}{}", declared.name());
            let parent = self.pool.get_message_by_name(prefix.trim_end_matches('.'));
            let descriptor =
                parent.and_then(|parent| parent.oneofs().find(|oneof| oneof.full_name() == path));
            if let Some(descriptor) = descriptor {
                statements(out, depth + 1, &descriptor.options());
            }
            for field in message
                .field
                .iter()
                .filter(|field| owner(field) == Some(oneof))
            {
                let text = self.field(prefix, field, message)?;
                line(out, depth + 1, &text);
            }
            line(out, depth, "}");
        }
        Ok(())
    }

    /// The text of a field.
    fn field(
        &self,
        prefix: &str,
        field: &FieldDescriptorProto,
        message: &DescriptorProto,
    ) -> Result<String, Unwritable> {
        let entry = message.nested_type.iter().find(|nested| {
            nested
                .options
                .as_ref()
                .is_some_and(prost_types::MessageOptions::map_entry)
                && field.type_name() == format!(".{prefix}{}", nested.name())
        });
        let is_in_oneof = field.oneof_index.is_some() && !field.proto3_optional();
        let mut text = match entry.map(|entry| entry.field.as_slice()) {
            Some([key, value]) => format!("map<{}, {}>", type_name(key)?, type_name(value)?),
            Some(_) => return Err("a broken map"),
            None => {
                let label = match field.label() {
                    Label::Repeated => "repeated ",
                    Label::Required => "required ",
                    Label::Optional if is_in_oneof => "",
                    Label::Optional if self.is_proto2 || field.proto3_optional() => "optional ",
                    Label::Optional => "",
                };
                format!("{label}{}", type_name(field)?)
            }
        };
        // Writing into a text cannot fail.
        write!(text, " {} = {}", field.name(), field.number()).ok();
        let parent = self.pool.get_message_by_name(prefix.trim_end_matches('.'));
        let number = u32::try_from(field.number()).map_err(|_| "a negative field number")?;
        let options = match &field.extendee {
            Some(_) => self
                .pool
                .get_extension_by_name(&format!("{prefix}{}", field.name()))
                .map(|extension| extension.options()),
            None => parent
                .and_then(|parent| parent.get_field(number))
                .map(|field| field.options()),
        };
        let mut items = options.map_or_else(Vec::new, |options| assignments(&options));
        if let Some(default) = &field.default_value {
            let value = match field.r#type() {
                Type::String => quoted(default.as_bytes()),
                // Bytes are kept as they are escaped.
                Type::Bytes => format!("\"{default}\""),
                _ => default.clone(),
            };
            items.push(format!("default = {value}"));
        }
        if let Some(json) = field
            .json_name
            .as_deref()
            .filter(|json| *json != camel(field.name()))
        {
            items.push(format!("json_name = {}", quoted(json.as_bytes())));
        }
        if !items.is_empty() {
            write!(text, " [{}]", items.join(", ")).ok();
        }
        text.push(';');
        Ok(text)
    }

    /// Writes extensions.
    fn extensions(
        &self,
        out: &mut String,
        depth: usize,
        prefix: &str,
        extensions: &[FieldDescriptorProto],
    ) -> Result<(), Unwritable> {
        for extension in extensions {
            let none = DescriptorProto::default();
            let text = self.field(prefix, extension, &none)?;
            line(
                out,
                depth,
                &format!("extend {} {{ {text} }}", extension.extendee()),
            );
        }
        Ok(())
    }

    /// Writes an enumeration.
    fn enumeration(&self, out: &mut String, depth: usize, prefix: &str, one: &EnumDescriptorProto) {
        line(out, depth, &format!("enum {} {{", one.name()));
        let descriptor = self
            .pool
            .get_enum_by_name(&format!("{prefix}{}", one.name()));
        if let Some(descriptor) = &descriptor {
            statements(out, depth + 1, &descriptor.options());
        }
        for value in &one.value {
            let options = descriptor
                .as_ref()
                .and_then(|descriptor| descriptor.get_value_by_name(value.name()))
                .map(|value| assignments(&value.options()));
            let options = match options {
                Some(items) if !items.is_empty() => format!(" [{}]", items.join(", ")),
                _ => String::new(),
            };
            line(
                out,
                depth + 1,
                &format!("{} = {}{options};", value.name(), value.number()),
            );
        }
        for range in &one.reserved_range {
            line(
                out,
                depth + 1,
                &format!("reserved {} to {};", range.start(), range.end()),
            );
        }
        reserved_names(out, depth + 1, &one.reserved_name);
        line(out, depth, "}");
    }

    /// Writes a service.
    fn service(&self, out: &mut String, prefix: &str, service: &ServiceDescriptorProto) {
        line(out, 0, &format!("service {} {{", service.name()));
        let name = format!("{prefix}{}", service.name());
        let descriptor = self.pool.get_service_by_name(&name);
        if let Some(descriptor) = &descriptor {
            statements(out, 1, &descriptor.options());
        }
        for method in &service.method {
            let stream = |is_streaming| if is_streaming { "stream " } else { "" };
            let text = format!(
                "rpc {} ({}{}) returns ({}{}) {{",
                method.name(),
                stream(method.client_streaming()),
                method.input_type(),
                stream(method.server_streaming()),
                method.output_type()
            );
            line(out, 1, &text);
            let method = descriptor
                .as_ref()
                .and_then(|service| service.methods().find(|one| one.name() == method.name()));
            if let Some(method) = method {
                statements(out, 2, &method.options());
            }
            line(out, 1, "}");
        }
        line(out, 0, "}");
    }
}

/// Writes a line.
fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&"  ".repeat(depth));
    out.push_str(text);
    out.push('\n');
}

/// Writes names that must not be used again.
fn reserved_names(out: &mut String, depth: usize, names: &[String]) {
    for name in names {
        line(
            out,
            depth,
            &format!("reserved {};", quoted(name.as_bytes())),
        );
    }
}

/// Writes options as statements.
fn statements(out: &mut String, depth: usize, options: &DynamicMessage) {
    for item in assignments(options) {
        line(out, depth, &format!("option {item};"));
    }
}

/// Options as `name = value`.
fn assignments(options: &DynamicMessage) -> Vec<String> {
    let own = options
        .fields()
        // A map entry is written as a map.
        .filter(|(field, _)| !matches!(field.name(), "uninterpreted_option" | "map_entry"))
        .flat_map(|(field, value)| each(field.name(), &field.kind(), value));
    let others = options.extensions().flat_map(|(extension, value)| {
        let name = format!("({})", ExtensionDescriptor::full_name(&extension));
        each(&name, &extension.kind(), value)
    });
    own.chain(others).collect()
}

/// An option, once for each of its values.
fn each(name: &str, kind: &Kind, value: &Value) -> Vec<String> {
    match value {
        Value::List(values) => values
            .iter()
            .map(|value| format!("{name} = {}", literal(kind, value)))
            .collect(),
        value => vec![format!("{name} = {}", literal(kind, value))],
    }
}

/// A value as a text.
fn literal(kind: &Kind, value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::String(value) => quoted(value.as_bytes()),
        Value::Bytes(value) => quoted(value),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => descriptor
                .get_value(*number)
                .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
            _ => number.to_string(),
        },
        Value::Message(message) => format!("{{ {} }}", members(message).join(" ")),
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(|value| literal(kind, value)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Map(_) => String::new(),
    }
}

/// The fields of a message as `name: value`.
fn members(message: &DynamicMessage) -> Vec<String> {
    let mut texts = Vec::new();
    for (field, value) in message.fields() {
        match value {
            Value::Map(entries) => texts.extend(map_entries(&field, entries.iter().collect())),
            value => texts.push(format!(
                "{}: {}",
                field.name(),
                literal(&field.kind(), value)
            )),
        }
    }
    for (extension, value) in message.extensions() {
        let value = literal(&extension.kind(), value);
        texts.push(format!("[{}]: {value}", extension.full_name()));
    }
    texts
}

/// The entries of a map, in order of keys.
fn map_entries(field: &FieldDescriptor, mut entries: Vec<(&MapKey, &Value)>) -> Vec<String> {
    entries.sort_by_key(|(key, _)| (*key).clone());
    let kind = field.kind();
    let value_kind = kind
        .as_message()
        .map(|entry| entry.map_entry_value_field().kind());
    let value_kind = value_kind.unwrap_or(Kind::Bool);
    entries
        .into_iter()
        .map(|(key, value)| {
            let key = literal(&Kind::Bool, &Value::from(key.clone()));
            let value = literal(&value_kind, value);
            format!("{}: {{ key: {key} value: {value} }}", field.name())
        })
        .collect()
}

/// A string with what has no place in one escaped.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The name that a field has in JSON unless it says otherwise.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut is_upper = false;
    for letter in name.chars() {
        if letter == '_' {
            is_upper = true;
        } else if is_upper {
            out.push(letter.to_ascii_uppercase());
            is_upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}

/// The name of a field's type.
fn type_name(field: &FieldDescriptorProto) -> Result<&str, Unwritable> {
    Ok(match field.r#type() {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Group => return Err("a group"),
        Type::Message | Type::Enum => field.type_name(),
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
    })
}
