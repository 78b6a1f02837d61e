//! The words of each program that writes changes.
//!
//! Place in the flow: decoders and encoders of this folder ask it for names and operations. Invariant: a row that is written as an
//! envelope is read back from it, updates as a delete and an insert.
//!
//! # Source
//! Flink 2.3, documentation of the Debezium, Canal, Maxwell and Ogg formats.

use crate::batch::RowKind;
use crate::format::FormatField;
use crate::types::{RowField, TypeKind};

/// A program that writes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Debezium.
    Debezium,
    /// Canal, of Alibaba: several rows in a record.
    Canal,
    /// Maxwell's daemon.
    Maxwell,
    /// Oracle `GoldenGate`.
    Ogg,
}

/// What a record says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Rows are new.
    Insert,
    /// Rows have changed.
    Update,
    /// Rows are gone.
    Delete,
    /// Nothing that is of interest to a table.
    Nothing,
}

/// Names of the members of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Members {
    /// Rows before the change.
    pub(super) old: &'static str,
    /// Rows after the change.
    pub(super) new: &'static str,
    /// The operation.
    pub(super) operation: &'static str,
}

impl Dialect {
    /// That of a format.
    pub fn of(format: &str) -> Option<Self> {
        Some(match format {
            "debezium-json"
            | "debezium-avro-confluent"
            | "json-debezium-registry"
            | "avro-debezium-registry"
            | "proto-debezium-registry" => Self::Debezium,
            "canal-json" => Self::Canal,
            "maxwell-json" => Self::Maxwell,
            "ogg-json" => Self::Ogg,
            _ => return None,
        })
    }

    /// The format of single rows that is like a format of changes: that of keys, which have no envelope.
    pub fn plain(format: &str) -> &str {
        match format {
            "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" => "json",
            "debezium-avro-confluent" => "avro-confluent",
            "json-debezium-registry" => "json-registry",
            "avro-debezium-registry" => "avro-registry",
            "proto-debezium-registry" => "proto-registry",
            other => other,
        }
    }

    /// Names of the members of an envelope.
    pub(super) fn members(self) -> Members {
        let (old, new, operation) = match self {
            Self::Debezium => ("before", "after", "op"),
            Self::Canal | Self::Maxwell => ("old", "data", "type"),
            Self::Ogg => ("before", "after", "op_type"),
        };
        Members {
            old,
            new,
            operation,
        }
    }

    /// Whether the old row of an update has only the fields that have changed, and that of a delete stands where new rows do.
    pub(super) fn is_sparse(self) -> bool {
        matches!(self, Self::Canal | Self::Maxwell)
    }

    /// The operation of a word; absent when there is none.
    pub(super) fn operation(self, word: &str) -> Option<Operation> {
        Some(match (self, word) {
            (Self::Debezium, "c" | "r")
            | (Self::Canal, "INSERT")
            | (Self::Maxwell, "insert")
            | (Self::Ogg, "I") => Operation::Insert,
            (Self::Debezium, "u")
            | (Self::Canal, "UPDATE")
            | (Self::Maxwell, "update")
            | (Self::Ogg, "U") => Operation::Update,
            (Self::Debezium, "d")
            | (Self::Canal, "DELETE")
            | (Self::Maxwell, "delete")
            | (Self::Ogg, "D") => Operation::Delete,
            (Self::Canal, "CREATE") => Operation::Nothing,
            (_, _) => return None,
        })
    }

    /// The word that a row is written with: an update is a delete of the old row and an insert of the new one.
    pub(super) fn word(self, kind: RowKind) -> &'static str {
        match (self, kind.is_retraction()) {
            (Self::Debezium, false) => "c",
            (Self::Debezium, true) => "d",
            (Self::Canal, false) => "INSERT",
            (Self::Canal, true) => "DELETE",
            (Self::Maxwell, false) => "insert",
            (Self::Maxwell, true) => "delete",
            (Self::Ogg, false) => "I",
            (Self::Ogg, true) => "D",
        }
    }

    /// The envelope around rows of these fields as it is written, and as decoders of formats with schemas read it.
    pub fn envelope(self, fields: &[FormatField]) -> Vec<FormatField> {
        let fields = fields.iter().map(|field| RowField {
            name: field.name.clone(),
            ty: field.ty.clone(),
        });
        let row = TypeKind::Row(fields.collect());
        let members = self.members();
        let field = |name: &str, kind: TypeKind| FormatField {
            name: name.to_owned(),
            ty: kind.nullable(),
        };
        let operation = field(members.operation, TypeKind::string());
        match self {
            Self::Debezium | Self::Ogg => vec![
                field(members.old, row.clone()),
                field(members.new, row),
                operation,
            ],
            Self::Canal => vec![
                field(members.new, TypeKind::Array(Box::new(row.nullable()))),
                operation,
            ],
            Self::Maxwell => vec![field(members.new, row), operation],
        }
    }
}
