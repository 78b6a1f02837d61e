//! How records of one message become the asked columns.
//!
//! Place in the flow: compiled once per schema and message, walked once per record by `read`. Invariant: a plan is as deep as the asked
//! types, and what is not asked for is passed over by its length; what does not fit a column is refused where it is met.
//!
//! # Source
//! Protocol Buffers, "Encoding"; Confluent Cloud for Apache Flink, "Data type mappings": Protobuf.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Syntax};

use crate::format::FormatField;
use crate::format::proto::meta::{Meta, is_entry, only_value};
use crate::format::proto::scalar::{Scalar, Symbols, scalar_of};
use crate::types::{FlinkType, TypeKind};

/// A compiled schema.
#[derive(Debug)]
pub(super) enum Plan {
    /// The columns are the fields of the message.
    Fields(Message),
    /// The columns are the messages of the schema, each a ROW.
    Branch {
        /// Place of the message's column, if it is asked for.
        column: Option<usize>,
        /// The fields of the ROW.
        message: Message,
    },
}

/// A message and what becomes of its fields.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Fields that are looked for, by number; the place of each is that of its slot.
    pub(super) fields: Vec<Field>,
    /// What each column gets, in order.
    pub(super) columns: Vec<Target>,
}

/// A field that is looked for.
#[derive(Debug)]
pub(super) struct Field {
    /// Its number.
    pub(super) number: u32,
    /// How it is on the wire.
    pub(super) wire: Wire,
    /// Places of the other fields of its oneof, which it makes absent.
    pub(super) others: Vec<usize>,
}

/// How a field is on the wire.
#[derive(Debug)]
pub(super) enum Wire {
    /// A number or string, of which the last counts.
    Last(Scalar),
    /// Numbers or strings, all of which count, packed or not.
    Every(Scalar),
    /// Messages: all count, as parts of one or as elements.
    Messages,
    /// A group, which no column takes.
    Group,
}

/// What a column gets.
#[derive(Debug)]
pub(super) struct Target {
    /// The column's name, for messages.
    pub(super) name: Box<str>,
    /// How its value is found.
    pub(super) how: How,
}

/// How the value of a column is found.
#[derive(Debug)]
pub(super) enum How {
    /// It is a field's.
    Single {
        /// Place of the field.
        slot: usize,
        /// How it is appended.
        value: Value,
        /// Whether the field is zero where it is absent, and not NULL.
        is_zero: bool,
    },
    /// It is the elements of a field.
    List {
        /// Place of the field.
        slot: usize,
        /// How each is appended.
        element: Value,
    },
    /// It is the entries of a field, in messages of a key and a value.
    Map {
        /// Place of the field.
        slot: usize,
        /// Key and value.
        entry: Box<Message>,
    },
    /// It is a ROW with a field for each of a oneof.
    Choice(Vec<Target>),
    /// The schema does not have it.
    Missing,
}

/// How a value is appended to a column.
#[derive(Debug)]
pub(super) enum Value {
    /// A number or string.
    Scalar(Scalar),
    /// A message to a ROW.
    Row(Box<Message>),
    /// A message of one field, as that field.
    Inner(Box<Message>),
    /// `confluent.type.Decimal`.
    Decimal,
    /// `google.type.Date`.
    Date,
    /// `google.type.TimeOfDay`.
    TimeOfDay,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// The column does not take it.
    Refused(Box<str>),
}

/// Asked columns: names and types.
pub(super) type Asked<'a> = [(&'a str, &'a FlinkType)];

impl Plan {
    /// The plan of records of a message for the asked fields of a part whose fields are `layout`; `meta` reads the schema's annotations.
    pub(super) fn new(
        message: &MessageDescriptor,
        meta: &Meta,
        layout: &[FormatField],
        asked: &Asked<'_>,
    ) -> Self {
        // In a table of several messages, the column of a record's message has its name.
        let name = message.name();
        let branch = layout
            .iter()
            .find(|field| field.name == name)
            .filter(|_| message.parent_message().is_none())
            .filter(|_| message.get_field_by_name(name).is_none());
        if let Some(FormatField {
            ty:
                FlinkType {
                    kind: TypeKind::Row(fields),
                    ..
                },
            ..
        }) = branch
        {
            let inner: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
            return Self::Branch {
                column: asked.iter().position(|(asked, _)| *asked == name),
                message: Message::new(message, meta, &inner),
            };
        }
        Self::Fields(Message::new(message, meta, asked))
    }
}

impl Message {
    /// The plan of a message for columns.
    fn new(message: &MessageDescriptor, meta: &Meta, asked: &Asked<'_>) -> Self {
        let mut compiler = Compiler {
            message,
            meta,
            slots: slots_of(message, asked),
        };
        let columns = asked.iter().map(|(name, ty)| Target {
            name: (*name).into(),
            how: compiler.column(name, ty),
        });
        let columns = columns.collect();
        Self {
            fields: compiler.fields(),
            columns,
        }
    }
}

/// The oneof of a field, unless it stands for `optional`.
fn oneof_of(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())
}

/// The fields that are looked for, by number: those of columns, and the others of their oneofs.
fn slots_of(message: &MessageDescriptor, asked: &Asked<'_>) -> BTreeMap<u32, FieldDescriptor> {
    let mut slots = BTreeMap::new();
    for (name, _) in asked {
        let field = message.get_field_by_name(name);
        let oneof = match &field {
            Some(field) => oneof_of(field),
            None => message.oneofs().find(|oneof| oneof.name() == *name),
        };
        let members = oneof.iter().flat_map(OneofDescriptor::fields);
        for field in field.iter().cloned().chain(members) {
            slots.insert(field.number(), field);
        }
    }
    slots
}

/// Compiles a message.
struct Compiler<'a> {
    /// The message.
    message: &'a MessageDescriptor,
    /// Reads annotations.
    meta: &'a Meta,
    /// Fields that are looked for, by number.
    slots: BTreeMap<u32, FieldDescriptor>,
}

impl Compiler<'_> {
    /// The fields that are looked for.
    fn fields(&self) -> Vec<Field> {
        let fields = self.slots.iter().map(|(number, field)| Field {
            number: *number,
            wire: wire_of(field),
            others: oneof_of(field).map_or_else(Vec::new, |oneof| {
                let others = oneof.fields().map(|other| other.number());
                others
                    .filter(|other| other != number)
                    .map(|other| self.slot(other))
                    .collect()
            }),
        });
        fields.collect()
    }

    /// The place of a field that is looked for.
    fn slot(&self, number: u32) -> usize {
        self.slots.range(..number).count()
    }

    /// How the value of a column is found.
    fn column(&mut self, name: &str, ty: &FlinkType) -> How {
        if let Some(field) = self.message.get_field_by_name(name) {
            return self.field(&field, ty);
        }
        let oneof = self.message.oneofs().find(|oneof| oneof.name() == name);
        match (oneof, &ty.kind) {
            (Some(oneof), TypeKind::Row(asked)) if !oneof.is_synthetic() => {
                let members = asked.iter().map(|asked| Target {
                    name: asked.name.as_str().into(),
                    how: match oneof.fields().find(|field| field.name() == asked.name) {
                        Some(field) => self.field(&field, &asked.ty),
                        None => How::Missing,
                    },
                });
                How::Choice(members.collect())
            }
            _ => How::Missing,
        }
    }

    /// How the value of a column of a field is found.
    fn field(&self, field: &FieldDescriptor, ty: &FlinkType) -> How {
        let slot = self.slot(field.number());
        let refused = || How::Single {
            slot,
            value: refuse(field, ty),
            is_zero: true,
        };
        if !field.is_list() && !field.is_map() {
            return How::Single {
                slot,
                value: self.value(field, ty),
                is_zero: !field.supports_presence() || self.message.is_map_entry(),
            };
        }
        match &ty.kind {
            TypeKind::Array(element) => How::List {
                slot,
                element: self.value(field, element),
            },
            TypeKind::Map(key, value) => {
                self.map(field, slot, (key, value)).unwrap_or_else(refused)
            }
            TypeKind::Multiset(element) => self
                .map(field, slot, (element, &COUNT))
                .unwrap_or_else(refused),
            _ => refused(),
        }
    }

    /// How the entries of a field are found.
    fn map(
        &self,
        field: &FieldDescriptor,
        slot: usize,
        (key, value): (&FlinkType, &FlinkType),
    ) -> Option<How> {
        let kind = field.kind();
        let entry = kind.as_message().filter(|message| is_entry(message))?;
        let key = key.with_nullable(false);
        let asked = [("key", &key), ("value", value)];
        Some(How::Map {
            slot,
            entry: Box::new(Message::new(entry, self.meta, &asked)),
        })
    }

    /// How a value of a field, or an element of it, is appended to a column of a type.
    fn value(&self, field: &FieldDescriptor, ty: &FlinkType) -> Value {
        let kind = field.kind();
        let Some(message) = kind.as_message().filter(|_| !field.is_group()) else {
            return match scalar_of(&kind) {
                Some(scalar) if scalar.fits(&ty.kind) => Value::Scalar(scalar),
                Some(_) | None => refuse(field, ty),
            };
        };
        match (message.full_name(), &ty.kind) {
            ("google.protobuf.Timestamp", TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)) => {
                return Value::Timestamp;
            }
            ("google.type.Date", TypeKind::Date) => return Value::Date,
            ("google.type.TimeOfDay", TypeKind::Time(_)) => return Value::TimeOfDay,
            ("confluent.type.Decimal", TypeKind::Decimal { .. }) => return Value::Decimal,
            _ => {}
        }
        let is_wrapper = self.meta.is_wrapped(field) || !matches!(ty.kind, TypeKind::Row(_));
        if is_wrapper && only_value(message).is_some() {
            let asked = [("value", ty)];
            return Value::Inner(Box::new(Message::new(message, self.meta, &asked)));
        }
        match &ty.kind {
            TypeKind::Row(fields) => {
                let asked: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
                Value::Row(Box::new(Message::new(message, self.meta, &asked)))
            }
            _ => refuse(field, ty),
        }
    }
}

/// The count of a multiset's element.
const COUNT: FlinkType = FlinkType {
    kind: TypeKind::Int,
    nullable: false,
};

/// What is appended of a field that the column does not take.
fn refuse(field: &FieldDescriptor, ty: &FlinkType) -> Value {
    let what = match field.kind() {
        _ if field.is_group() => "a group, which is not supported,".to_owned(),
        Kind::Message(message) => format!("message {}", message.full_name()),
        Kind::Enum(symbols) => format!("enum {}", symbols.full_name()),
        kind => format!("{kind:?}"),
    };
    let repeated = if field.is_list() || field.is_map() {
        "repeated "
    } else {
        ""
    };
    Value::Refused(format!("{repeated}{what} is no {}", ty.kind).into())
}

/// How a field is on the wire.
fn wire_of(field: &FieldDescriptor) -> Wire {
    match scalar_of(&field.kind()) {
        None if field.is_group() => Wire::Group,
        None => Wire::Messages,
        Some(scalar) if field.is_list() => Wire::Every(scalar),
        Some(scalar) => Wire::Last(scalar),
    }
}

impl Symbols {
    /// The symbols of an enum.
    pub(super) fn new(symbols: &prost_reflect::EnumDescriptor) -> Self {
        let mut names = BTreeMap::new();
        for value in symbols.values() {
            // Of several names of a number, the first is the one that is printed.
            names
                .entry(value.number())
                .or_insert_with(|| value.name().into());
        }
        Self {
            names,
            name: symbols.name().into(),
            first: symbols.default_value().number(),
            is_closed: symbols.parent_file().syntax() == Syntax::Proto2,
        }
    }
}
