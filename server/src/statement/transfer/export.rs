//! Exporting a statement: its manifest, and the bytes of its savepoint piece by piece.
//!
//! Place in the flow: `weir_v1` comes here. Changes nothing but that a running statement takes a savepoint.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;
use weir_runtime::plan::{Operator, SinkTarget, StreamPlan};
use weir_runtime::sql::catalog::TableDef;

use super::manifest::{
    Checksum, ExportedObject, ExportedSavepoint, ExportedStatement, ExportedTable, Manifest,
};
use crate::error::{Error, Result};
use crate::statement::engine::Checkpoints;
use crate::statement::savepoints::Savepoint;
use crate::statement::service::{Statements, find, gone};
use crate::statement::{Kind, Record};

/// Bytes read at a time, and the most a client gets in one answer (guess, unmeasured).
pub(crate) const PIECE_BYTES: usize = 8 << 20;

impl Statements {
    /// Exports a statement at a savepoint: the named one, else a new one. A statement that stands still and never had a checkpoint is
    /// exported without state. Waits.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for statements that are not INSERTs; whatever keeps the savepoint from being taken or read.
    pub fn export(&self, name: &str, savepoint: Option<&str>) -> Result<Manifest> {
        let (record, plan) = {
            let state = self.core.lock();
            let seq = find(&state, name)?;
            let entry = state.entries.get(&seq).ok_or_else(|| gone(name))?;
            (entry.record.clone(), entry.plan.clone())
        };
        let plan = plan
            .filter(|_| record.kind == Kind::Background)
            .ok_or_else(|| {
                Error::Conflict(format!(
                    "statement {name} cannot be exported, only INSERT and EXECUTE STATEMENT SET that could be planned can"
                ))
            })?;
        let savepoint = self.savepoint_to_export(&record, savepoint)?;
        let manifest = Manifest {
            format: String::new(),
            version: 0,
            exported_at_ms: self.core.clock.now_ms(),
            statement: exported(&record),
            plan: serde_json::to_string(plan.as_ref())?,
            tables: self.tables_of(&plan)?,
            savepoint: savepoint
                .map(|savepoint| with_objects(savepoint, &self.core.checkpoints_of(&record)))
                .transpose()?,
            checksum: String::new(),
        };
        manifest.sealed()
    }

    /// A piece of an object of a savepoint; empty at its end.
    ///
    /// # Errors
    /// `NotFound` for the statement, the savepoint or the object; whatever keeps it from being read.
    pub fn read_savepoint(
        &self,
        (name, savepoint): (&str, &str),
        object: &str,
        offset: u64,
    ) -> Result<Bytes> {
        let savepoint = self.find_savepoint(name, savepoint)?.name;
        let source = self
            .core
            .checkpoints_of(&self.get(name)?)
            .source(&savepoint)?;
        if !source.objects()?.iter().any(|found| found.name == object) {
            return Err(Error::NotFound(format!(
                "savepoint {savepoint} has no object {object}"
            )));
        }
        Ok(source.read(object, offset, PIECE_BYTES)?)
    }

    /// The savepoint that is exported.
    fn savepoint_to_export(
        &self,
        record: &Record,
        savepoint: Option<&str>,
    ) -> Result<Option<Savepoint>> {
        if let Some(savepoint) = savepoint {
            return self.core.store.savepoint(&record.uid, savepoint).map(Some);
        }
        let never_ran =
            record.phase.is_terminal() && self.core.checkpoints_of(record).list()?.is_empty();
        if never_ran {
            return Ok(None);
        }
        let id = Uuid::new_v4().simple().to_string();
        let taken = self.savepoint(&record.name, Some(format!("export-{}", &id[..8])))?;
        Ok(Some(taken))
    }

    /// Tables of a plan as the catalog has them now, or as they were when the plan was made.
    fn tables_of(&self, plan: &StreamPlan) -> Result<Vec<ExportedTable>> {
        let mut tables: BTreeMap<String, TableDef> = BTreeMap::new();
        for node in &plan.nodes {
            let table = match &node.operator {
                Operator::TableSourceScan(scan) => &scan.table,
                Operator::Sink(sink) => match &sink.target {
                    SinkTarget::Table(table) => table,
                    SinkTarget::Results => continue,
                },
                _ => continue,
            };
            let present = self.core.catalog.declared(&table.name);
            let table = present.map_or_else(|| table.clone(), |present| present.as_ref().clone());
            tables.insert(table.name.to_string(), table);
        }
        let exported = |(name, table): (String, TableDef)| {
            let definition = serde_json::to_string(&table)?;
            Ok(ExportedTable { name, definition })
        };
        tables.into_iter().map(exported).collect()
    }
}

/// The definition of a statement.
fn exported(record: &Record) -> ExportedStatement {
    ExportedStatement {
        name: record.name.clone(),
        uid: record.uid.clone(),
        sql: record.sql.clone(),
        properties: record.properties.clone(),
        labels: record.labels.clone(),
        pool_id: record.pool_id.clone(),
        principal: record.principal.clone(),
        parallelism: record.parallelism,
        traits: record.traits.clone(),
    }
}

/// A savepoint with the checksums of its objects.
fn with_objects(savepoint: Savepoint, checkpoints: &Checkpoints) -> Result<ExportedSavepoint> {
    let source = checkpoints.source(&savepoint.name)?;
    let mut objects = Vec::new();
    for object in source.objects()? {
        let mut checksum = Checksum::default();
        let mut offset = 0;
        while offset < object.bytes {
            let piece = source.read(&object.name, offset, PIECE_BYTES)?;
            if piece.is_empty() {
                return Err(Error::Storage(format!(
                    "object {} of savepoint {} ends after {offset} of {} bytes",
                    object.name, savepoint.name, object.bytes
                )));
            }
            checksum.add(&piece);
            offset += piece.len() as u64;
        }
        objects.push(ExportedObject {
            name: object.name,
            bytes: object.bytes,
            checksum: checksum.finish(),
        });
    }
    Ok(ExportedSavepoint {
        name: savepoint.name,
        epoch: savepoint.epoch,
        offsets: savepoint.offsets,
        initial_offsets: savepoint.initial_offsets,
        created_at_ms: savepoint.created_at_ms,
        objects,
    })
}
