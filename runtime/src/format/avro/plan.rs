//! How records of one schema become the asked columns.
//!
//! Place in the flow: compiled once per schema, walked once per record by `read`. Invariant: a plan is as deep as the asked types, and
//! what is not asked for is skipped without being built; what does not fit a column is a step that fails, so that a union fails only
//! for the branches that do not fit.
//!
//! # Source
//! Apache Avro 1.12 specification, "Schema Resolution"; Confluent Cloud for Apache Flink, "Data type mappings": Avro.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{
    InnerDecimalSchema, Name, NamesRef, RecordField, RecordSchema, UuidSchema,
};

use crate::format::avro::default;
use crate::format::avro::parse::Parsed;
use crate::format::avro::scalar::{describe, scalar, short_name};
use crate::types::{FlinkType, TypeKind};

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Plan {
    /// The outer record.
    pub(super) root: Record,
    /// Named types that are skipped by their place here, because they may hold themselves.
    pub(super) named: Vec<Skip>,
    /// Whether an asked field is neither in the schema nor in that of the reader.
    pub(super) is_lacking: bool,
}

/// Fields in the order of the bytes.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// What becomes of each field.
    pub(super) steps: Vec<Step>,
    /// Columns that no field belongs to.
    pub(super) missing: Vec<Missing>,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) enum Step {
    /// It goes to a column.
    Read {
        /// Place of the column.
        column: usize,
        /// Its name, for messages.
        name: Box<str>,
        /// How.
        read: Read,
    },
    /// It is a union whose branches are columns: the outer schema.
    Branches(Vec<Step>),
    /// Nobody asks for it.
    Skip(Skip),
}

/// What a column gets that no field belongs to.
#[derive(Debug)]
pub(super) struct Missing {
    /// Place of the column.
    pub(super) column: usize,
    /// Its name, for messages.
    pub(super) name: Box<str>,
    /// The default as bytes, with their plan as the only column; absent for NULL.
    pub(super) default: Option<(Vec<u8>, Box<Plan>)>,
}

/// How a value is appended to a column.
#[derive(Debug)]
pub(super) enum Read {
    /// `null`.
    Null,
    /// `boolean`.
    Boolean,
    /// `int` or `long` to an integer or DATE, whose range is checked.
    Integer,
    /// A number to FLOAT or DOUBLE.
    Number(Number),
    /// Time of the day, `int` of milliseconds or `long` of microseconds.
    Time(Unit),
    /// `long` in a unit.
    Timestamp(Unit),
    /// Digits with a scale: as many bytes as said, or as the value says.
    Decimal {
        /// Bytes of a `fixed`.
        size: Option<usize>,
        /// Digits after the point.
        scale: usize,
    },
    /// `string` or `bytes` to characters.
    Text,
    /// `fixed` of 16 bytes to the characters of a UUID.
    Uuid,
    /// `enum` to characters.
    Enum(Vec<Box<str>>),
    /// `string` or `bytes` to bytes.
    Binary,
    /// `fixed` to bytes.
    Fixed(usize),
    /// `array` to ARRAY.
    List(Box<Read>),
    /// `map`, or `array` of entries, to MAP or MULTISET: the fields of an entry are its key and value.
    Map(Box<Record>),
    /// `record` to ROW.
    Row(Box<Record>),
    /// `union`, each branch to the same column.
    Union(Vec<Read>),
    /// `union`, each branch to the field of a ROW, if there is one.
    Choice(Vec<Step>),
    /// The column does not take it.
    Refused(Box<str>),
}

/// A number of Avro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// `int` or `long`.
    Integer,
    /// `float`.
    Float,
    /// `double`.
    Double,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// How a value is passed over.
#[derive(Debug)]
pub(super) enum Skip {
    /// So many bytes.
    Bytes(usize),
    /// `int`, `long` or `enum`.
    Integer,
    /// `string` or `bytes`.
    Counted,
    /// `array` or `map` of such elements.
    Blocks(Box<Skip>),
    /// One of these.
    Union(Vec<Skip>),
    /// All of these.
    Sequence(Vec<Skip>),
    /// The named type of this place.
    Named(usize),
}

/// Asked columns: names and types.
pub(super) type Asked<'a> = [(&'a str, &'a FlinkType)];

impl Plan {
    /// The plan of records of schema `writer` for columns, with aliases and defaults from the schema `reader`.
    ///
    /// A schema that is no record is taken as a record of one field, `only`.
    ///
    /// # Errors
    /// A message, when the schema cannot stand for records.
    pub(super) fn new(
        writer: &Parsed,
        reader: Option<&Parsed>,
        asked: &Asked<'_>,
        only: Option<&str>,
    ) -> Result<Self, String> {
        let reader_names = reader.map(Parsed::names).transpose()?;
        let reader = reader
            .map(|reader| &reader.schema)
            .zip(reader_names.as_ref());
        let mut compiler = Compiler {
            names: writer.names()?,
            queue: Vec::new(),
            places: HashMap::new(),
            is_lacking: false,
        };
        let writer = compiler.resolve(&writer.schema);
        let root = match (writer, only) {
            (Schema::Record(record), _) => compiler.record(record, reader, asked),
            (_, Some(only)) => {
                let column = asked.iter().position(|(name, _)| *name == only);
                Record {
                    steps: vec![compiler.step(writer, None, asked, column)],
                    missing: Vec::new(),
                }
            }
            (Schema::Union(union), None) => compiler.branches(union.variants(), asked)?,
            (_, None) => return Err("the schema is not that of a record".to_owned()),
        };
        Ok(compiler.finish(root))
    }
}

/// A schema of the reader with its named types.
type Reader<'r> = Option<(&'r Schema, &'r NamesRef<'r>)>;

/// Compiles a schema.
struct Compiler<'s> {
    /// Types by name.
    names: NamesRef<'s>,
    /// Named types to skip, in the order of their places.
    queue: Vec<&'s Schema>,
    /// Their places.
    places: HashMap<&'s Name, usize>,
    /// Whether an asked field was found nowhere.
    is_lacking: bool,
}

impl<'s> Compiler<'s> {
    /// The plan, with the named types that are skipped.
    fn finish(mut self, root: Record) -> Plan {
        let mut named = Vec::new();
        // Each may lead to others, and there are finitely many.
        while let Some(schema) = self.queue.get(named.len()).copied() {
            let skip = self.skip(schema);
            named.push(skip);
        }
        Plan {
            root,
            named,
            is_lacking: self.is_lacking,
        }
    }

    /// The step of a union whose branches are columns, by the names of their types.
    fn branches(&mut self, branches: &'s [Schema], asked: &Asked<'_>) -> Result<Record, String> {
        let columns: Vec<Option<usize>> = branches
            .iter()
            .map(|branch| short_name(self.resolve(branch)))
            .map(|name| asked.iter().position(|(asked, _)| *asked == name))
            .collect();
        if !asked.is_empty() && columns.iter().all(Option::is_none) {
            return Err("the schema is a union, and no column is named as a type of it".to_owned());
        }
        let steps = branches.iter().zip(columns);
        let steps = steps.map(|(branch, column)| self.step(branch, None, asked, column));
        Ok(Record {
            steps: vec![Step::Branches(steps.collect())],
            missing: Vec::new(),
        })
    }

    /// The steps of a record.
    fn record(
        &mut self,
        writer: &'s RecordSchema,
        reader: Reader<'_>,
        asked: &Asked<'_>,
    ) -> Record {
        let reader_fields = reader.and_then(|(schema, names)| fields_of(schema, names));
        let reader_field = |name: &str| {
            let fields = reader_fields?;
            fields.iter().find(|field| field.name == name)
        };
        let mut columns = vec![None; writer.fields.len()];
        let mut missing = Vec::new();
        let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
        for (column, name) in names.iter().enumerate() {
            if let Some(place) = place_of(&writer.fields, |field| field.name == *name) {
                columns[place].get_or_insert(column);
            }
        }
        for (column, (name, ty)) in asked.iter().enumerate() {
            if columns.contains(&Some(column)) {
                continue;
            }
            let known = reader_field(name);
            let is_same = |field: &RecordField| {
                let is_old = known.is_some_and(|known| known.aliases.contains(&field.name));
                let is_alias = field.aliases.iter().any(|alias| alias == name);
                (is_old || is_alias) && !names.contains(&field.name.as_str())
            };
            match place_of(&writer.fields, is_same).filter(|place| columns[*place].is_none()) {
                Some(place) => columns[place] = Some(column),
                None => missing.push(self.missing(column, (name, ty), known, reader)),
            }
        }
        let steps = writer.fields.iter().zip(columns).map(|(field, column)| {
            let known = column.and_then(|column| reader_field(names[column]));
            let inner = known
                .zip(reader)
                .map(|(known, (_, names))| (&known.schema, names));
            self.step(&field.schema, inner, asked, column)
        });
        let steps = steps.collect();
        Record { steps, missing }
    }

    /// The step of a field.
    fn step(
        &mut self,
        writer: &'s Schema,
        reader: Reader<'_>,
        asked: &Asked<'_>,
        column: Option<usize>,
    ) -> Step {
        match column {
            Some(column) => {
                let (name, ty) = asked[column];
                Step::Read {
                    column,
                    name: name.into(),
                    read: self.value(writer, reader, ty),
                }
            }
            None => Step::Skip(self.skip(writer)),
        }
    }

    /// What a column gets that no field belongs to.
    fn missing(
        &mut self,
        column: usize,
        (name, ty): (&str, &FlinkType),
        known: Option<&RecordField>,
        reader: Reader<'_>,
    ) -> Missing {
        let default = known.zip(reader).and_then(|(known, (_, names))| {
            let bytes = default::encode(&known.schema, names, known.default.as_ref()?)?;
            let mut compiler = Compiler {
                names: names.clone(),
                queue: Vec::new(),
                places: HashMap::new(),
                is_lacking: false,
            };
            let step = compiler.step(&known.schema, None, &[(name, ty)], Some(0));
            let root = Record {
                steps: vec![step],
                missing: Vec::new(),
            };
            Some((bytes, Box::new(compiler.finish(root))))
        });
        self.is_lacking |= default.is_none();
        Missing {
            column,
            name: name.into(),
            default,
        }
    }

    /// A type behind its name.
    fn resolve(&self, schema: &'s Schema) -> &'s Schema {
        match schema {
            Schema::Ref { name } => self.names.get(name).copied().unwrap_or(schema),
            other => other,
        }
    }

    /// How a value is appended to a column of a type.
    fn value(&mut self, writer: &'s Schema, reader: Reader<'_>, ty: &FlinkType) -> Read {
        let writer = self.resolve(writer);
        let refused = || Read::Refused(format!("{} is no {}", describe(writer), ty.kind).into());
        match (writer, &ty.kind) {
            (Schema::Union(union), TypeKind::Row(fields))
                if is_choice(
                    union.variants(),
                    self,
                    fields.iter().map(|f| f.name.as_str()),
                ) =>
            {
                let asked: Vec<(&str, &FlinkType)> =
                    fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
                let steps = union.variants().iter().map(|branch| {
                    let name = short_name(self.resolve(branch));
                    let column = asked.iter().position(|(asked, _)| *asked == name);
                    self.step(branch, None, &asked, column)
                });
                Read::Choice(steps.collect())
            }
            (Schema::Union(union), _) => {
                let branches = union.variants().iter();
                Read::Union(
                    branches
                        .map(|branch| self.value(branch, reader, ty))
                        .collect(),
                )
            }
            (Schema::Null, _) => Read::Null,
            (Schema::Array(array), TypeKind::Array(element)) => {
                let reader = element_of(reader);
                Read::List(Box::new(self.value(&array.items, reader, element)))
            }
            (Schema::Record(record), TypeKind::Row(fields)) => {
                let asked: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &f.ty)).collect();
                Read::Row(Box::new(self.record(record, reader, &asked)))
            }
            (_, TypeKind::Map(key, value)) => self
                .map(writer, element_of(reader), (key, value))
                .unwrap_or_else(refused),
            (_, TypeKind::Multiset(element)) => self
                .map(writer, element_of(reader), (element, &COUNT))
                .unwrap_or_else(refused),
            (_, kind) => scalar(writer, kind).unwrap_or_else(refused),
        }
    }

    /// How a map is appended.
    fn map(
        &mut self,
        writer: &'s Schema,
        reader: Reader<'_>,
        (key, value): (&FlinkType, &FlinkType),
    ) -> Option<Read> {
        let key = key.with_nullable(false);
        let asked = [("key", &key), ("value", value)];
        let record = match writer {
            Schema::Map(map) => Record {
                steps: vec![
                    self.step(&Schema::String, None, &asked, Some(0)),
                    self.step(&map.types, reader, &asked, Some(1)),
                ],
                missing: Vec::new(),
            },
            Schema::Array(array) => match self.resolve(&array.items) {
                Schema::Record(record) => self.record(record, reader, &asked),
                _ => return None,
            },
            _ => return None,
        };
        Some(Read::Map(Box::new(record)))
    }

    /// How a value is passed over.
    fn skip(&mut self, writer: &'s Schema) -> Skip {
        match writer {
            Schema::Null => Skip::Bytes(0),
            Schema::Boolean => Skip::Bytes(1),
            Schema::Float => Skip::Bytes(4),
            Schema::Double => Skip::Bytes(8),
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => Skip::Bytes(fixed.size),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Fixed(fixed) => Skip::Bytes(fixed.size),
                InnerDecimalSchema::Bytes => Skip::Counted,
            },
            Schema::Bytes
            | Schema::String
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes | UuidSchema::String) => Skip::Counted,
            Schema::Array(array) => Skip::Blocks(Box::new(self.skip(&array.items))),
            Schema::Map(map) => {
                let entry = vec![Skip::Counted, self.skip(&map.types)];
                Skip::Blocks(Box::new(Skip::Sequence(entry)))
            }
            Schema::Union(union) => {
                Skip::Union(union.variants().iter().map(|s| self.skip(s)).collect())
            }
            Schema::Record(record) => {
                let fields = record.fields.iter();
                Skip::Sequence(fields.map(|field| self.skip(&field.schema)).collect())
            }
            Schema::Ref { name } => Skip::Named(self.place(name)),
            Schema::Int
            | Schema::Long
            | Schema::Enum(_)
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Skip::Integer,
        }
    }

    /// The place of a named type.
    fn place(&mut self, name: &'s Name) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.queue.len();
        // Every name was resolved; `null` takes no bytes, so a bug here would fail the record and not run away.
        let schema = self.names.get(name).copied().unwrap_or(&Schema::Null);
        self.queue.push(schema);
        self.places.insert(name, place);
        place
    }
}

/// The element count of a multiset.
const COUNT: FlinkType = FlinkType {
    kind: TypeKind::Int,
    nullable: false,
};

/// The place of a field.
fn place_of(fields: &[RecordField], is_it: impl Fn(&RecordField) -> bool) -> Option<usize> {
    fields.iter().position(is_it)
}

/// The fields of a schema that is a record, or a record or null.
fn fields_of<'r>(schema: &'r Schema, names: &NamesRef<'r>) -> Option<&'r [RecordField]> {
    match schema {
        Schema::Record(record) => Some(&record.fields),
        // A name stands for a definition, never for another name.
        Schema::Ref { name } => match names.get(name).copied()? {
            Schema::Record(record) => Some(&record.fields),
            _ => None,
        },
        Schema::Union(union) => {
            let branch = union
                .variants()
                .iter()
                .find(|s| !matches!(s, Schema::Null))?;
            fields_of(branch, names)
        }
        _ => None,
    }
}

/// What a reader's array or map holds.
fn element_of(reader: Reader<'_>) -> Reader<'_> {
    let (schema, names) = reader?;
    match schema {
        Schema::Array(array) => Some((&*array.items, names)),
        Schema::Map(map) => Some((&*map.types, names)),
        Schema::Union(union) => {
            let branch = union
                .variants()
                .iter()
                .find(|s| !matches!(s, Schema::Null))?;
            element_of(Some((branch, names)))
        }
        _ => None,
    }
}

/// Whether the branches of a union go to the fields of a row: there are several, and every field is named as one of them.
fn is_choice<'a>(
    branches: &[Schema],
    compiler: &Compiler<'_>,
    mut fields: impl Iterator<Item = &'a str>,
) -> bool {
    let names: Vec<&str> = branches
        .iter()
        .filter(|branch| !matches!(branch, Schema::Null))
        .map(|branch| match branch {
            Schema::Ref { name } => compiler.names.get(name).map_or("", |s| short_name(s)),
            other => short_name(other),
        })
        .collect();
    names.len() > 1 && fields.all(|field| names.contains(&field))
}
