//! The columns that a schema stands for.
//!
//! Place in the flow: tables that are derived from a registered schema take their columns from here. Invariant: what comes back is what
//! the decoder reads, with NULL where a record may lack the field; a schema without a finite form is an error.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Data type mappings": Protobuf; "Inferred tables".

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, Syntax};

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::proto::meta::{
    CONNECT_TYPE, FLINK_TYPE, MAX_LENGTH, MIN_LENGTH, Meta, PRECISION, is_entry, only_value,
};
use crate::format::proto::parse::parse;
use crate::format::proto::schema::{TIME_PRECISION, TIMESTAMP_PRECISION};
use crate::format::registry::ReferencedSchema;
use crate::types::{FlinkType, MAX_LENGTH as LENGTH_MAX, RowField, TypeKind};

/// Types that a schema may stand for in all: messages may hold others that hold others, many times over. Guess, unmeasured.
const TYPES_MAX: usize = 10_000;

/// Precision and scale of a decimal without annotations.
///
/// # Source
/// Flink SQL 2.3, DECIMAL without parameters.
const DECIMAL: (u8, u8) = (10, 0);

/// The columns of a schema: the fields of its message, or a ROW for each of several messages.
///
/// # Errors
/// `Invalid` for a text that is no schema, and for one whose messages hold themselves.
pub fn columns_of(text: &str, references: &[ReferencedSchema]) -> Result<Vec<FormatField>> {
    let parsed = parse(text, references)
        .map_err(|why| Error::validation(format!("the Protobuf schema: {why}")))?;
    let meta = Meta(parsed.field_meta());
    let mut walk = Walk {
        meta: &meta,
        around: Vec::new(),
        types_left: TYPES_MAX,
    };
    let roots = parsed.roots();
    let fields = match roots.as_slice() {
        [] => return Err(Error::validation("the Protobuf schema has no message")),
        [only] => walk.fields(only)?,
        several => several
            .iter()
            .map(|message| {
                Ok(RowField {
                    name: message.name().to_owned(),
                    ty: TypeKind::Row(walk.fields(message)?).nullable(),
                })
            })
            .collect::<Result<_>>()?,
    };
    let field = |RowField { name, ty }| FormatField { name, ty };
    Ok(fields.into_iter().map(field).collect())
}

/// A walk through messages.
struct Walk<'a> {
    /// Reads annotations.
    meta: &'a Meta,
    /// Messages around the one at hand.
    around: Vec<MessageDescriptor>,
    /// Types that may still come.
    types_left: usize,
}

impl Walk<'_> {
    /// The fields of a message; a oneof stands where its first field is.
    fn fields(&mut self, message: &MessageDescriptor) -> Result<Vec<RowField>> {
        if self.around.contains(message) {
            return Err(Error::unsupported(format!(
                "message {} holds itself; columns have no such type",
                message.full_name()
            )));
        }
        self.around.push(message.clone());
        let mut fields: Vec<RowField> = Vec::new();
        for field in message.fields() {
            let oneof = field.containing_oneof().filter(|o| !o.is_synthetic());
            let Some(oneof) = oneof else {
                fields.push(self.field(&field)?);
                continue;
            };
            if fields.iter().any(|there| there.name == oneof.name()) {
                continue;
            }
            let members = oneof.fields().map(|member| self.field(&member));
            fields.push(RowField {
                name: oneof.name().to_owned(),
                ty: TypeKind::Row(members.collect::<Result<_>>()?).nullable(),
            });
        }
        self.around.pop();
        Ok(fields)
    }

    /// A field with its type.
    fn field(&mut self, field: &FieldDescriptor) -> Result<RowField> {
        self.types_left = self.types_left.checked_sub(1).ok_or_else(|| {
            Error::unsupported(format!("a schema of more than {TYPES_MAX} fields"))
        })?;
        let ty = self
            .ty(field)
            .map_err(|error| error.context(&format!("field {}", field.name())))?;
        Ok(RowField {
            name: field.name().to_owned(),
            ty,
        })
    }

    /// The type of a field.
    fn ty(&mut self, field: &FieldDescriptor) -> Result<FlinkType> {
        let kind = field.kind();
        let entry = kind.as_message().filter(|message| is_entry(message));
        if let (true, Some(entry)) = (field.cardinality() == Cardinality::Repeated, entry) {
            return self.map(field, entry);
        }
        let is_entry = field.parent_message().is_map_entry();
        // Where proto2 says `required`, a value is always there; entries of maps always have both parts.
        let is_required = field.is_required() || is_entry;
        let single = self.single(field)?;
        Ok(if field.is_list() {
            TypeKind::Array(Box::new(single)).not_null()
        } else {
            let is_nullable = single.nullable || (field.supports_presence() && !is_required);
            FlinkType {
                kind: single.kind,
                nullable: is_nullable,
            }
        })
    }

    /// The type of a field of entries.
    fn map(&mut self, field: &FieldDescriptor, entry: &MessageDescriptor) -> Result<FlinkType> {
        let part = |name| {
            entry
                .get_field_by_name(name)
                .ok_or_else(|| Error::internal(format!("an entry without {name}")))
        };
        let key = self.field(&part("key")?)?.ty.with_nullable(false);
        let value = self.field(&part("value")?)?.ty;
        let params = self.meta.params(field);
        let is_multiset = params.get(FLINK_TYPE).is_some_and(|ty| ty == "multiset");
        Ok(if is_multiset && value.kind == TypeKind::Int {
            TypeKind::Multiset(Box::new(key)).not_null()
        } else {
            TypeKind::Map(Box::new(key), Box::new(value)).not_null()
        })
    }

    /// The type of a value of a field, or of an element; NULL only where the message says so.
    fn single(&mut self, field: &FieldDescriptor) -> Result<FlinkType> {
        let params = self.meta.params(field);
        let number = |name: &str| params.get(name).and_then(|text| text.parse::<u32>().ok());
        let small = |name: &str, default: u8| {
            number(name)
                .and_then(|number| u8::try_from(number).ok())
                .unwrap_or(default)
        };
        let length = number(MAX_LENGTH).filter(|n| (1..=LENGTH_MAX).contains(n));
        let is_exact = length.is_some() && number(MIN_LENGTH) == length;
        let kind = match field.kind() {
            _ if field.is_group() => {
                return Err(Error::unsupported("groups; use a message"));
            }
            Kind::Bool => TypeKind::Boolean,
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                match params.get(CONNECT_TYPE).map(String::as_str) {
                    Some("int8") => TypeKind::TinyInt,
                    Some("int16") => TypeKind::SmallInt,
                    _ => TypeKind::Int,
                }
            }
            Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sint64
            | Kind::Uint64
            | Kind::Fixed64
            | Kind::Sfixed64 => TypeKind::BigInt,
            Kind::Float => TypeKind::Float,
            Kind::Double => TypeKind::Double,
            Kind::Enum(_) => TypeKind::string(),
            Kind::String => match length {
                Some(n) if is_exact => TypeKind::Char(n),
                n => TypeKind::VarChar(n.unwrap_or(LENGTH_MAX)),
            },
            Kind::Bytes => match length {
                Some(n) if is_exact => TypeKind::Binary(n),
                n => TypeKind::VarBinary(n.unwrap_or(LENGTH_MAX)),
            },
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => {
                    let precision = small(PRECISION, TIMESTAMP_PRECISION).min(9);
                    if params.get(FLINK_TYPE).is_some_and(|ty| ty == "timestamp") {
                        TypeKind::Timestamp(precision)
                    } else {
                        TypeKind::TimestampLtz(precision)
                    }
                }
                "google.type.Date" => TypeKind::Date,
                "google.type.TimeOfDay" => TypeKind::Time(small(PRECISION, TIME_PRECISION).min(3)),
                "confluent.type.Decimal" => {
                    let precision = small("precision", DECIMAL.0).clamp(1, 38);
                    let scale = small("scale", DECIMAL.1).min(precision);
                    TypeKind::Decimal { precision, scale }
                }
                _ => return self.message(field, &message),
            },
        };
        Ok(kind.not_null())
    }

    /// The type of a message.
    fn message(
        &mut self,
        field: &FieldDescriptor,
        message: &MessageDescriptor,
    ) -> Result<FlinkType> {
        let value = only_value(message);
        let is_google = message.full_name().starts_with("google.protobuf.")
            && message.full_name().ends_with("Value")
            && message.parent_file().syntax() == Syntax::Proto3;
        match value {
            // What is wrapped may be absent; an element says itself whether it may be NULL.
            Some(value) if self.meta.is_wrapped(field) => {
                let inner = self.field(&value)?.ty;
                Ok(if field.is_list() {
                    inner
                } else {
                    inner.with_nullable(true)
                })
            }
            Some(value) if is_google && value.kind().as_message().is_none() => {
                Ok(self.field(&value)?.ty.with_nullable(true))
            }
            _ => Ok(TypeKind::Row(self.fields(message)?).not_null()),
        }
    }
}
