//! Envelopes in JSON to rows with their kinds.
//!
//! Place in the flow: `task` hands it the values of a batch. Invariant: a record gives all of its rows or none; one that fails leaves
//! nothing in the columns. An old row without the fields that have not changed is filled up by where they are in the text, so that
//! each value is read once, by the type of its column.
//!
//! # Source
//! Flink 2.3: which records fail, which are skipped, and which rows an update has.

use crate::batch::RowKind;
use crate::error::{Error, Result};
use crate::format::changelog::dialect::{Members, Operation};
use crate::format::changelog::options::Place;
use crate::format::changelog::{ChangeOptions, Dialect, Readable, readable};
use crate::format::column::{Column, Fault, Names};
use crate::format::json::convert::{self, find_member};
use crate::format::json::{Faults, JsonOptions, check_size, check_type, scan};
use crate::format::text::TimestampFormat;
use crate::format::{Changes, Decoded, Decoder, Failure, FailureCode, FormatField};

/// Decodes envelopes in JSON into the asked fields.
#[derive(Debug)]
pub struct JsonChangeDecoder {
    /// Who wrote the envelopes.
    dialect: Dialect,
    /// How they are read.
    options: ChangeOptions,
    /// What is around the envelope, where something is.
    around: Names,
    /// The members of the envelope: old rows, new rows, operation.
    envelope: Names,
    /// The asked fields of rows.
    fields: Names,
    /// Their values.
    columns: Vec<Column>,
    /// The asked metadata.
    metadata: Vec<Metadata>,
    /// The rows so far.
    changes: Changes,
    /// Scratch: where the fields of an old row are.
    old_places: Vec<Option<usize>>,
}

/// A column of metadata.
#[derive(Debug)]
struct Metadata {
    /// Which.
    readable: &'static Readable,
    /// Values.
    column: Column,
    /// Scratch: where it is in the record at hand.
    place: Option<usize>,
}

/// A row of the record at hand.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Its kind.
    kind: RowKind,
    /// Where it is.
    at: usize,
    /// The new row that has the fields which this old one does not have.
    rest: Option<usize>,
}

/// Place of the old rows among the members.
const OLD: usize = 0;
/// Place of the new rows among the members.
const NEW: usize = 1;
/// Place of the operation among the members.
const OPERATION: usize = 2;

impl JsonChangeDecoder {
    /// A decoder of fields of rows, and of metadata by its keys.
    ///
    /// # Errors
    /// `Unsupported` for types that JSON has no form for, `Internal` for metadata that there is not.
    pub fn new(
        dialect: Dialect,
        options: ChangeOptions,
        fields: &[FormatField],
        metadata: &[String],
    ) -> Result<Self> {
        for field in fields {
            check_type(&field.ty, &options.json)
                .map_err(|error| error.context(&format!("field {}", field.name)))?;
        }
        let known = match dialect {
            Dialect::Debezium => "debezium-json",
            Dialect::Canal => "canal-json",
            Dialect::Maxwell => "maxwell-json",
            Dialect::Ogg => "ogg-json",
        };
        let metadata = metadata.iter().map(|key| {
            let mut all = readable(known).iter();
            let readable = all
                .find(|readable| readable.key == key)
                .ok_or_else(|| Error::internal(format!("{known} has no metadata '{key}'")))?;
            Ok(Metadata {
                readable,
                column: Column::new(&readable.read_type())?,
                place: None,
            })
        });
        let Members {
            old,
            new,
            operation,
        } = dialect.members();
        let names = |names: &[&str]| Names::new(names.iter().map(|name| (*name).to_owned()));
        Ok(Self {
            dialect,
            around: names(&["payload"]),
            envelope: names(&[old, new, operation]),
            fields: Names::new(fields.iter().map(|field| field.name.clone())),
            columns: Column::of_fields(fields)?,
            metadata: metadata.collect::<Result<_>>()?,
            changes: Changes::default(),
            old_places: vec![None; fields.len()],
            options,
        })
    }

    /// Adds the rows of a record.
    fn append(&mut self, index: usize, record: &[u8]) -> Result<(), Fault> {
        if record.is_empty() {
            // As a null value: what databases leave behind a delete, so that a compacted topic forgets the row.
            return Ok(());
        }
        let (root, envelope) = self.find(record)?;
        if !self.is_included(record, envelope)? {
            return Ok(());
        }
        let operation = self.operation(record, envelope)?;
        for metadata in &mut self.metadata {
            let base = if metadata.readable.is_beside() {
                root
            } else {
                envelope
            };
            let mut path = metadata.readable.path.iter();
            metadata.place = path.try_fold(base, |at, name| find_member(record, at, name));
        }
        match operation {
            Operation::Nothing => Ok(()),
            Operation::Insert => self.append_all(index, record, (RowKind::Insert, NEW)),
            Operation::Delete if self.dialect.is_sparse() => {
                self.append_all(index, record, (RowKind::Delete, NEW))
            }
            Operation::Delete => self.append_all(index, record, (RowKind::Delete, OLD)),
            Operation::Update => self.append_updates(index, record),
        }
    }

    /// Checks a record and finds the members of its envelope; the places of the whole and of the envelope.
    fn find(&mut self, record: &[u8]) -> Result<(usize, usize), Fault> {
        match self.options.place {
            Place::Root => {
                let at = convert::find_root(&mut self.envelope, record)?;
                Ok((at, at))
            }
            Place::Payload => {
                let root = convert::find_root(&mut self.around, record)?;
                let payload = self.around.places[0].filter(|at| record.get(*at) == Some(&b'{'));
                let payload = payload.ok_or_else(|| {
                    Fault::new(
                        FailureCode::Malformed,
                        "the record has no \"payload\" object: 'schema-include' is for records with \"schema\" and \"payload\"",
                    )
                })?;
                convert::find_members(&mut self.envelope, record, payload)
                    .map_err(convert::malformed)?;
                Ok((root, payload))
            }
        }
    }

    /// Whether the record is of a database and table that are read.
    fn is_included(&self, record: &[u8], envelope: usize) -> Result<bool, Fault> {
        let filters = [
            ("database", &self.options.databases),
            ("table", &self.options.tables),
        ];
        for (member, filter) in filters {
            let Some(filter) = filter else { continue };
            let name = text(record, find_member(record, envelope, member), member)?;
            let is_match = filter
                .is_match(&name)
                .map_err(|error| Fault::mismatch(error.message).within(member))?;
            if !is_match {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the record says has happened. Every DDL of Canal is nothing; Flink knows only that of CREATE and fails with the others.
    fn operation(&self, record: &[u8], envelope: usize) -> Result<Operation, Fault> {
        let member = self.dialect.members().operation;
        let word = text(record, self.member(record, OPERATION), member)?;
        if let Some(operation) = self.dialect.operation(&word) {
            return Ok(operation);
        }
        let is_ddl = || {
            let at = find_member(record, envelope, "isDdl")?;
            (record.get(at) == Some(&b't')).then_some(())
        };
        if self.dialect == Dialect::Canal && is_ddl().is_some() {
            return Ok(Operation::Nothing);
        }
        Err(Fault::new(
            FailureCode::Malformed,
            format!("unknown operation {}", crate::format::text::excerpt(&word)),
        )
        .within(member))
    }

    /// The place of a member of the envelope; absent when it is missing or null.
    fn member(&self, record: &[u8], member: usize) -> Option<usize> {
        self.envelope.places[member].filter(|at| record.get(*at) != Some(&b'n'))
    }

    /// The places of the rows of a member.
    fn rows(&self, record: &[u8], member: usize) -> Result<Vec<usize>, Fault> {
        let name = &self.envelope.list[member];
        let Some(at) = self.member(record, member) else {
            let hint = match (self.dialect, member) {
                (Dialect::Debezium, OLD) => {
                    "; with Debezium of PostgreSQL, set REPLICA IDENTITY of the table to FULL"
                }
                (_, _) => "",
            };
            return Err(Fault::new(
                FailureCode::NullValue,
                format!("is null or missing, so the row of the change is not known{hint}"),
            )
            .within(name));
        };
        if self.dialect != Dialect::Canal {
            return Ok(vec![at]);
        }
        if record.get(at) != Some(&b'[') {
            return Err(Fault::mismatch("expected an array").within(name));
        }
        let mut rows = Vec::new();
        scan::walk_array(record, at, 0, |place| rows.push(place)).map_err(convert::malformed)?;
        Ok(rows)
    }

    /// Adds all rows of a member.
    fn append_all(
        &mut self,
        index: usize,
        record: &[u8],
        (kind, member): (RowKind, usize),
    ) -> Result<(), Fault> {
        for at in self.rows(record, member)? {
            let row = Row {
                kind,
                at,
                rest: None,
            };
            self.append_row(index, record, row)
                .map_err(|fault| fault.within(&self.envelope.list[member]))?;
        }
        Ok(())
    }

    /// Adds the old and the new row of each update.
    fn append_updates(&mut self, index: usize, record: &[u8]) -> Result<(), Fault> {
        let (old, new) = (self.rows(record, OLD)?, self.rows(record, NEW)?);
        if old.len() < new.len() {
            let message = format!("{} old rows for {} new ones", old.len(), new.len());
            return Err(Fault::mismatch(message).within(&self.envelope.list[OLD]));
        }
        let is_sparse = self.dialect.is_sparse();
        if is_sparse {
            self.find_changed(record, &old)?;
        }
        for (old, new) in old.into_iter().zip(new) {
            let before = Row {
                kind: RowKind::UpdateBefore,
                at: old,
                rest: is_sparse.then_some(new),
            };
            let after = Row {
                kind: RowKind::UpdateAfter,
                at: new,
                rest: None,
            };
            for (row, member) in [(before, OLD), (after, NEW)] {
                self.append_row(index, record, row)
                    .map_err(|fault| fault.within(&self.envelope.list[member]))?;
            }
        }
        Ok(())
    }

    /// Notes which fields any of the old rows has: those have changed, and where a row lacks them they were NULL.
    ///
    /// # Source
    /// Flink 2.3, Canal: a field is looked for in all old rows of a record.
    fn find_changed(&mut self, record: &[u8], old: &[usize]) -> Result<(), Fault> {
        self.old_places.fill(None);
        for at in old {
            find_fields(&mut self.fields, record, *at)?;
            for (changed, place) in self.old_places.iter_mut().zip(&self.fields.places) {
                *changed = place.or(*changed);
            }
        }
        Ok(())
    }

    /// Adds a row.
    fn append_row(&mut self, index: usize, record: &[u8], row: Row) -> Result<(), Fault> {
        find_fields(&mut self.fields, record, row.at)?;
        if let Some(rest) = row.rest {
            let own = self.fields.places.clone();
            find_fields(&mut self.fields, record, rest)?;
            let places = self.fields.places.iter_mut();
            for ((place, own), changed) in places.zip(own).zip(&self.old_places) {
                if changed.is_some() {
                    *place = own;
                }
            }
        }
        let json = &self.options.json;
        convert::append_members(&self.fields, &mut self.columns, record, json)?;
        for metadata in &mut self.metadata {
            append_metadata(metadata, record, json)
                .map_err(|fault| fault.within(metadata.readable.key))?;
        }
        self.changes.kinds.push(row.kind);
        self.changes.records.push(index);
        Ok(())
    }

    /// Drops what was added behind the first `rows` rows.
    fn take_back(&mut self, rows: usize) {
        let metadata = self
            .metadata
            .iter_mut()
            .map(|metadata| &mut metadata.column);
        for column in self.columns.iter_mut().chain(metadata) {
            column.truncate(rows);
        }
        self.changes.kinds.truncate(rows);
        self.changes.records.truncate(rows);
    }
}

/// Finds the fields of a row.
fn find_fields(fields: &mut Names, record: &[u8], at: usize) -> Result<(), Fault> {
    if record.get(at) != Some(&b'{') {
        return Err(Fault::mismatch("expected an object"));
    }
    convert::find_members(fields, record, at).map_err(convert::malformed)?;
    Ok(())
}

/// The text of a member.
fn text<'a>(
    record: &'a [u8],
    place: Option<usize>,
    member: &str,
) -> Result<std::borrow::Cow<'a, str>, Fault> {
    match place {
        Some(at) if record.get(at) == Some(&b'"') => convert::string_at(record, at),
        Some(_) | None => Err(Fault::new(
            FailureCode::Malformed,
            "is missing, or no string",
        )),
    }
    .map_err(|fault| fault.within(member))
}

/// Adds the metadata of the record at hand.
fn append_metadata(
    metadata: &mut Metadata,
    record: &[u8],
    json: &JsonOptions,
) -> Result<(), Fault> {
    let Some(at) = metadata.place else {
        return metadata.column.append_null();
    };
    let options = JsonOptions {
        timestamp_format: if metadata.readable.is_epoch() {
            TimestampFormat::Epoch
        } else {
            json.timestamp_format
        },
        faults: json.faults,
        ..JsonOptions::default()
    };
    convert::append(&mut metadata.column, record, at, &options)
}

impl Decoder for JsonChangeDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        let mut failures = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let rows = self.changes.kinds.len();
            if let Err(fault) = self.append(index, record) {
                self.take_back(rows);
                if self.options.json.faults == Faults::Fail {
                    failures.push(Failure {
                        row: index,
                        code: fault.code,
                        message: fault.text(),
                    });
                }
            }
        }
        let metadata = self
            .metadata
            .iter_mut()
            .map(|metadata| &mut metadata.column);
        let columns = self.columns.iter_mut().chain(metadata).map(Column::finish);
        Ok(Decoded {
            columns: columns.collect::<Result<_>>()?,
            failures,
            changes: Some(std::mem::take(&mut self.changes)),
        })
    }
}
