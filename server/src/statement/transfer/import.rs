//! Importing a statement: its manifest, the bytes of its savepoint piece by piece, then everything at once.
//!
//! Place in the flow: `weir_v1` comes here. Invariant: nothing of an import is visible before every byte of it is there and matches its
//! checksum; an import that is not finished is forgotten when the server starts anew.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;
use weir_model::statement::Phase;
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::catalog::TableDef;

use super::export::PIECE_BYTES;
use super::manifest::{Checksum, ExportedObject, ExportedSavepoint, ExportedStatement, Manifest};
use crate::error::{Error, Result};
use crate::names::{DEFAULT_POOL_ID, ENVIRONMENT_ID, ORGANIZATION_ID, is_statement_name};
use crate::pool::Pool;
use crate::statement::carry_over;
use crate::statement::engine::SavepointInfo;
use crate::statement::entry::Entry;
use crate::statement::limits::StateLimitStatus;
use crate::statement::record::{Kind, Origin, Record, RestoreFrom, Scaling, Wanted};
use crate::statement::savepoints::Savepoint;
use crate::statement::service::{Statements, read_plan, record_of};

/// File of the manifest in the directory of an import.
const MANIFEST: &str = "manifest.json";

/// Directory of objects in the directory of an import.
const OBJECTS: &str = "objects";

/// An import that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its id.
    pub id: String,
    /// Objects it needs.
    pub objects: Vec<String>,
}

/// How an import becomes a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// Another name.
    pub name: Option<String>,
    /// Another pool; the default one when the exported one is not here.
    pub pool_id: Option<String>,
    /// Whether it starts at once; it is STOPPED otherwise.
    pub start: bool,
    /// Whether it keeps its uid, so that it takes over the transactional ids of the exported one and fences it off.
    pub take_over: bool,
}

impl Statements {
    /// Begins an import.
    ///
    /// # Errors
    /// `Invalid` for a manifest that is refused; `Storage`.
    pub fn begin_import(&self, manifest: &[u8]) -> Result<Import> {
        let read = Manifest::read(manifest)?;
        let id = Uuid::new_v4().simple().to_string();
        let dir = self.core.imports.join(&id);
        fs::create_dir_all(dir.join(OBJECTS)).map_err(|error| refused(&dir, &error))?;
        let path = dir.join(MANIFEST);
        fs::write(&path, manifest).map_err(|error| refused(&path, &error))?;
        let objects = read.objects().iter();
        Ok(Import {
            id,
            objects: objects.map(|object| object.name.clone()).collect(),
        })
    }

    /// Adds a piece of an object; the same piece again changes nothing.
    ///
    /// # Errors
    /// `NotFound` for the import or the object; `Invalid` for a gap and for more bytes than the object has; `Storage`.
    pub fn write_import(&self, id: &str, object: &str, offset: u64, piece: &[u8]) -> Result<()> {
        let (dir, manifest) = self.import(id)?;
        let object = manifest
            .objects()
            .iter()
            .find(|known| known.name == object)
            .ok_or_else(|| Error::NotFound(format!("import {id} has no object {object}")))?;
        if offset + piece.len() as u64 > object.bytes {
            return Err(Error::Invalid(format!(
                "object {} has {} bytes only",
                object.name, object.bytes
            )));
        }
        let path = dir.join(OBJECTS).join(&object.name);
        let parent = path.parent().unwrap_or(&dir);
        let write = || -> std::io::Result<bool> {
            fs::create_dir_all(parent)?;
            let mut file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            if offset > file.metadata()?.len() {
                return Ok(false);
            }
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(piece)?;
            Ok(true)
        };
        if write().map_err(|error| refused(&path, &error))? {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "object {} has a gap before byte {offset}: send its pieces in order",
            object.name
        )))
    }

    /// Makes the statement of an import. Waits.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when bytes are missing or do not match; `AlreadyExists` for a name, or with `take_over` a uid, in use;
    /// whatever keeps tables and savepoint from being stored.
    pub fn finish_import(&self, id: &str, options: &ImportOptions) -> Result<Record> {
        let (dir, manifest) = self.import(id)?;
        let objects = dir.join(OBJECTS);
        for object in manifest.objects() {
            verify(&objects, object)?;
        }
        let mut record = self.imported(&manifest, options)?;
        self.check_unused(&record)?;
        let plan = read_plan(&manifest.plan)
            .map_err(|error| Error::Invalid(format!("the plan of the manifest: {error}")))?;
        for table in &manifest.tables {
            let table: TableDef = serde_json::from_str(&table.definition)
                .map_err(|error| Error::Invalid(format!("a table of the manifest: {error}")))?;
            if self.core.catalog.declared(&table.name).is_none() {
                self.core.catalog.create_table(table, true)?;
            }
        }
        if let Some(savepoint) = &manifest.savepoint {
            let stored = self.store_savepoint((&record, &plan), savepoint, &objects)?;
            record.origin.restore = RestoreFrom::Savepoint(stored.name);
        }
        let now = self.core.clock.monotonic();
        let mut entry = Entry::new(0, record, now);
        entry.plan = Some(Arc::new(plan));
        let record = self.adopt_import(entry, &manifest.plan)?;
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(directory = %dir.display(), %error, "an import is left behind");
        }
        Ok(record)
    }

    /// The directory and the manifest of an import.
    fn import(&self, id: &str) -> Result<(PathBuf, Manifest)> {
        let unknown = || Error::NotFound(format!("import {id} not found"));
        if Uuid::try_parse(id).is_err() {
            return Err(unknown());
        }
        let dir = self.core.imports.join(id);
        let bytes = fs::read(dir.join(MANIFEST)).map_err(|_| unknown())?;
        Ok((dir, Manifest::read(&bytes)?))
    }

    /// The record that a manifest becomes.
    fn imported(&self, manifest: &Manifest, options: &ImportOptions) -> Result<Record> {
        let exported = &manifest.statement;
        let name = options.name.as_ref().unwrap_or(&exported.name).clone();
        if !is_statement_name(&name) {
            return Err(Error::Invalid(format!(
                "statement name \"{name}\" is not allowed"
            )));
        }
        let pool = self.pool_of(exported, options)?;
        let now_ms = self.core.clock.now_ms();
        let savepoint = manifest.savepoint.as_ref();
        Ok(Record {
            uid: if options.take_over {
                exported.uid.clone()
            } else {
                Uuid::new_v4().to_string()
            },
            name,
            organization: ORGANIZATION_ID.to_owned(),
            environment: ENVIRONMENT_ID.to_owned(),
            sql: exported.sql.clone(),
            properties: exported.properties.clone(),
            labels: exported.labels.clone(),
            pool_id: pool.id,
            principal: exported.principal.clone(),
            kind: Kind::Background,
            wanted: if options.start {
                Wanted::Run
            } else {
                Wanted::Stop
            },
            phase: if options.start {
                Phase::Pending
            } else {
                Phase::Stopped
            },
            detail: String::new(),
            scaling: Scaling::Ok,
            traits: exported.traits.clone(),
            parallelism: exported.parallelism,
            draining: false,
            resource_version: 1,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            run: 0,
            restarts_total: 0,
            latest_offsets: savepoint.map(|it| it.offsets.clone()).unwrap_or_default(),
            latest_offsets_at_ms: savepoint.map(|it| it.created_at_ms),
            origin: Origin {
                run: Uuid::new_v4().to_string(),
                offsets: savepoint
                    .map(|it| it.initial_offsets.clone())
                    .unwrap_or_default(),
                ..Origin::default()
            },
            rescale_to: None,
            stop_savepoint: None,
            state_limit: StateLimitStatus::default(),
            is_soft_limit_waived: false,
            slow_checkpoints: None,
            advice: Vec::new(),
            creates_table: None,
        })
    }

    /// The pool that an imported statement runs in.
    fn pool_of(&self, exported: &ExportedStatement, options: &ImportOptions) -> Result<Pool> {
        let pool = match &options.pool_id {
            Some(id) => self.pool(id)?,
            None => self
                .pool(&exported.pool_id)
                .or_else(|_| self.pool(DEFAULT_POOL_ID))?,
        };
        if exported.parallelism > pool.max_cfu {
            return Err(Error::Invalid(format!(
                "the statement has {} CFU and pool {} has {}: raise its max_cfu or name another pool",
                exported.parallelism, pool.id, pool.max_cfu
            )));
        }
        Ok(pool)
    }

    /// Checks that name and uid are free before anything is made.
    fn check_unused(&self, record: &Record) -> Result<()> {
        let state = self.core.lock();
        if state.names.contains_key(&record.name) {
            return Err(Error::AlreadyExists(format!(
                "Statement {} already exists: import it under another name",
                record.name
            )));
        }
        if state.by_uid(&record.uid).is_some() {
            return Err(Error::AlreadyExists(
                "the exported statement itself is on this server: import it without taking over"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Copies verified objects to where savepoints are.
    fn store_savepoint(
        &self,
        (record, plan): (&Record, &StreamPlan),
        savepoint: &ExportedSavepoint,
        objects: &Path,
    ) -> Result<Savepoint> {
        let plan = carry_over::with_offsets(plan, &record.origin.offsets);
        let checkpoints = self.core.checkpoints_of(record);
        let target = checkpoints.target(&savepoint.name, (&record.name, &plan))?;
        for object in &savepoint.objects {
            target.put(&object.name, &objects.join(&object.name))?;
        }
        let info = SavepointInfo {
            location: target.finish()?,
            epoch: savepoint.epoch,
            positions: Vec::new(),
        };
        let stored = Savepoint {
            offsets: savepoint.offsets.clone(),
            ..self.core.savepoint_of(record, &savepoint.name, info)
        };
        self.core.store.put_savepoint(&stored)?;
        Ok(stored)
    }

    /// Stores an imported statement and looks at it for the first time.
    fn adopt_import(&self, mut entry: Entry, plan: &str) -> Result<Record> {
        let mut state = self.core.lock();
        let seq = self
            .core
            .store
            .insert_statement(&entry.record, Some(plan), None)?;
        entry.seq = seq;
        state.names.insert(entry.record.name.clone(), seq);
        state.entries.insert(seq, entry);
        self.core.reconcile(&mut state, seq);
        record_of(&state, seq)
    }
}

/// Checks length and checksum of a received object.
fn verify(objects: &Path, object: &ExportedObject) -> Result<()> {
    let path = objects.join(&object.name);
    let unfit = |what: &str| Error::Invalid(format!("object {} {what}", object.name));
    let mut file = File::open(&path).map_err(|_| unfit("was not sent"))?;
    let mut checksum = Checksum::default();
    let mut piece = vec![0; PIECE_BYTES.min(1 << 20)];
    let mut length = 0;
    loop {
        let count = file
            .read(&mut piece)
            .map_err(|error| refused(&path, &error))?;
        if count == 0 {
            break;
        }
        checksum.add(&piece[..count]);
        length += count as u64;
    }
    if length != object.bytes {
        return Err(unfit(&format!(
            "has {length} of its {} bytes",
            object.bytes
        )));
    }
    if checksum.finish() != object.checksum {
        return Err(unfit("does not match its checksum: copy it again"));
    }
    Ok(())
}

/// A path that refuses.
fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::Storage(format!("{}: {error}", path.display()))
}
