//! The checkpoints of one statement in one place.
//!
//! Place in the flow: subtasks write segments, the coordinator writes manifests, a start reads one and loads what it names; calls block
//! and are made from edge threads. Invariant: what is named by a manifest is there before the manifest is, and goes after it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::commit::EpochRecord;
use crate::checkpoint::entry::Entry;
use crate::checkpoint::store::collect::Settled;
use crate::checkpoint::store::local::LocalObjects;
use crate::checkpoint::store::location::Location;
use crate::checkpoint::store::manifest::{Manifest, Purpose};
use crate::checkpoint::store::name::{self, CheckpointName};
use crate::checkpoint::store::objects::Objects;
use crate::checkpoint::store::options::{Options, TransferOptions};
use crate::checkpoint::store::read::{self, Chain, Part, Request};
use crate::checkpoint::store::remote::RemoteObjects;
use crate::checkpoint::store::retry::{Created, Pause, Retrying, SleepingPause};
use crate::checkpoint::store::segment::{SegmentWriter, Written};
use crate::checkpoint::store::{collect, note};
use crate::error::{Error, Kind, Result};
use crate::state::codec::Reader;
use crate::time::EpochMillis;

/// What a store uses of the world besides its objects.
#[derive(Debug, Clone)]
pub struct Components {
    /// Waits between attempts.
    pub pause: Arc<dyn Pause>,
    /// Unique among the processes that ever use the place, made of letters and digits: it is part of the names of segments, so that
    /// two runs of a statement that overlap never write the same one. It also seeds the jitter of pauses.
    pub token: String,
}

impl Components {
    /// Sleeps, with a random token.
    pub fn system() -> Self {
        Self {
            pause: Arc::new(SleepingPause),
            token: uuid::Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A checkpoint as [`CheckpointStore::list`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub name: CheckpointName,
    /// When its manifest was written, by the clock of the store.
    pub modified_ms: EpochMillis,
}

/// What [`CheckpointStore::collect`] has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Manifests.
    pub manifest_count: usize,
    /// Segments.
    pub segment_count: usize,
    /// Bytes of those segments.
    pub segment_bytes: u64,
}

/// The checkpoints of one statement.
#[derive(Debug)]
pub struct CheckpointStore {
    /// Objects, tried again when a call fails.
    pub(super) objects: Retrying,
    /// Sizes of requests.
    pub(super) transfer: TransferOptions,
    /// Part of the names of segments.
    token: String,
    /// Segments written, for their names.
    segment_count: AtomicU64,
    /// Merged segments that no manifest refers to yet.
    unspliced: Mutex<BTreeSet<Arc<str>>>,
}

impl CheckpointStore {
    /// Opens the place of a statement's checkpoints and finds out whether it can be written, read and deleted.
    ///
    /// # Errors
    /// As [`Self::connect`], and `Unavailable`, naming the place and the reason, when it does not answer or refuses.
    pub fn open(location: &Location, options: &Options, runtime: &Handle) -> Result<Self> {
        let store = Self::connect(location, options, runtime)?;
        store.probe()?;
        Ok(store)
    }

    /// Opens the place of a statement's checkpoints without a try.
    ///
    /// Calls block on the runtime, so they must not be made from its threads, and it must have threads of its own.
    ///
    /// # Errors
    /// `Invalid` for settings that cannot work.
    pub fn connect(location: &Location, options: &Options, runtime: &Handle) -> Result<Self> {
        let components = Components::system();
        let objects: Arc<dyn Objects> = match location {
            Location::Local(path) => {
                Arc::new(LocalObjects::new(path.clone(), components.token.clone()))
            }
            Location::Bucket(bucket) => {
                Arc::new(RemoteObjects::new(bucket, options, runtime.clone())?)
            }
        };
        Ok(Self::over(objects, location, options, components))
    }

    /// Opens a local directory, which needs no runtime.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_local(path: &Path) -> Result<Self> {
        let components = Components::system();
        let objects = LocalObjects::new(path.to_owned(), components.token.clone());
        let location = Location::Local(path.to_owned());
        let options = Options::default();
        let store = Self::over(Arc::new(objects), &location, &options, components);
        store.probe()?;
        Ok(store)
    }

    /// A store over any objects; `location` is for messages. Nothing is tried.
    pub fn over(
        objects: Arc<dyn Objects>,
        location: &Location,
        options: &Options,
        components: Components,
    ) -> Self {
        let seed = xxh3_64(components.token.as_bytes());
        let (retry, pause) = (options.retry.clone(), components.pause);
        Self {
            objects: Retrying::new(objects, location, retry, pause, seed),
            transfer: options.transfer.clone(),
            token: components.token,
            segment_count: AtomicU64::new(0),
            unspliced: Mutex::default(),
        }
    }

    /// Writes an object as manifests are written, reads it back and deletes it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn probe(&self) -> Result<()> {
        let object = format!("{PROBE}{}", self.token);
        let bytes = Bytes::from(object.clone());
        let check = |found: Bytes| {
            if found == bytes {
                Ok(())
            } else {
                Err(Error::corrupt("what was written is not what is read"))
            }
        };
        let read = self
            .objects
            .create(&object, &bytes)
            .and_then(|_| self.objects.read(&object, None, check))
            .and_then(|found| found.ok_or_else(|| Error::corrupt("what was written is not there")));
        let tried = read.and_then(|()| self.objects.delete(&object));
        tried.map_err(|error| match error.kind {
            Kind::Corrupt => Error::unavailable(format!(
                "checkpoint store {} does not keep what is written: {}",
                self.objects.label(),
                error.message
            )),
            _ => error.context("the checkpoint store cannot be used"),
        })
    }

    /// Stores the deltas of a subtask at an epoch; their slices, for the manifest. Nothing is written when there are none. A subtask
    /// may store several segments an epoch, to hold less in memory.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn write_segment(
        &self,
        at: &CheckpointName,
        subtask: u32,
        writer: SegmentWriter,
    ) -> Result<Vec<Written>> {
        self.write_named(at, &subtask.to_string(), writer)
    }

    /// Stores the merged deltas of an epoch. [`Self::collect`] leaves them alone until a manifest refers to them.
    pub(super) fn write_merged(
        &self,
        at: &CheckpointName,
        writer: SegmentWriter,
    ) -> Result<Vec<Written>> {
        self.write_named(at, "merged", writer)
    }

    /// Stores a segment under a name that nobody else gives.
    fn write_named(
        &self,
        at: &CheckpointName,
        author: &str,
        writer: SegmentWriter,
    ) -> Result<Vec<Written>> {
        at.check()?;
        if writer.is_empty() {
            return Ok(Vec::new());
        }
        let serial = self.segment_count.fetch_add(1, Ordering::Relaxed);
        let segment = name::segment(at, &format!("{author}.{}.{serial}", self.token));
        if author == "merged" {
            self.unspliced().insert(segment.as_str().into());
        }
        let (parts, written) = writer.finish(&segment);
        self.objects.put(&segment, &parts)?;
        Ok(written)
    }

    /// Merged segments that no manifest refers to yet.
    fn unspliced(&self) -> std::sync::MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.unspliced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a checkpoint durable: its segments are stored already, the manifest is written unless there is one of that run and epoch,
    /// read back and compared. The bytes of the manifest.
    ///
    /// # Errors
    /// `Conflict` when there is another one: another process runs the same statement. `Unavailable` when it is not known whether it
    /// was written; `Corrupt` when what is read back differs.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<u64> {
        let name = manifest.name();
        name.check()?;
        if manifest.purpose != Purpose::Checkpoint {
            return Err(Error::internal(format!(
                "{} is no checkpoint",
                manifest.title()
            )));
        }
        let written = self.create_manifest(&name.to_string(), manifest)?;
        let Some(bytes) = written else {
            return Err(Error::fenced(format!(
                "another process has written checkpoint {name} of statement {} in {}: it runs there too",
                manifest.statement_name,
                self.objects.label()
            )));
        };
        let referenced = manifest.segments();
        self.unspliced()
            .retain(|segment| !referenced.contains(segment));
        Ok(bytes)
    }

    /// Stores a manifest that is never collected; the bytes of the manifest.
    ///
    /// # Errors
    /// `Invalid` when the name is taken or is no file name; else as [`Self::write_manifest`].
    pub fn write_savepoint(&self, name: &str, manifest: &Manifest) -> Result<u64> {
        let object = name::savepoint(name)?;
        let mut manifest = manifest.clone();
        manifest.purpose = Purpose::Savepoint {
            name: name.to_owned(),
        };
        let written = self.create_manifest(&object, &manifest)?;
        written.ok_or_else(|| Error::exists(format!("there is a savepoint {name} already")))
    }

    /// Writes a manifest and reads it back; its bytes, or absent when there is a different one of that name.
    fn create_manifest(&self, object: &str, manifest: &Manifest) -> Result<Option<u64>> {
        let bytes = Bytes::from(manifest.encode()?);
        // An existing one may be ours: the answer to an earlier attempt was lost.
        let created = self.objects.create(object, &bytes)?;
        let read = self.objects.read(object, None, |found| {
            let decoded = Manifest::decode(&found)?;
            let is_same = decoded == *manifest && found == bytes;
            match created {
                Created::New if !is_same => Err(Error::corrupt(
                    "what was written is not what is read: the store has lost it, or another process has replaced it",
                )),
                Created::New | Created::Existed => Ok(is_same),
            }
        });
        match read {
            Ok(Some(is_same)) => Ok(is_same.then_some(bytes.len() as u64)),
            Ok(None) => Err(Error::corrupt(format!(
                "{object} of {} is not there although it was written",
                self.objects.label()
            ))),
            // Whole, and of a build that writes another format: not ours.
            Err(error) if error.kind == Kind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The checkpoints that there are, by run and epoch. Whether they can be read is another question.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let objects = self.objects.list(name::CHECKPOINTS)?;
        let mut listed: Vec<Listed> = objects
            .into_iter()
            .filter_map(|object| {
                Some(Listed {
                    name: object.name.parse().ok()?,
                    modified_ms: object.modified_ms,
                })
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// The names of the savepoints.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn list_savepoints(&self) -> Result<Vec<String>> {
        let objects = self.objects.list(name::SAVEPOINTS)?;
        Ok(objects
            .iter()
            .filter_map(|object| name::savepoint_of(&object.name).map(str::to_owned))
            .collect())
    }

    /// Reads the manifest of a checkpoint.
    ///
    /// # Errors
    /// `Corrupt` when it is missing, damaged or of another name; `Unsupported` when it is of another format version; `Unavailable`.
    pub fn read_manifest(&self, name: &CheckpointName) -> Result<Manifest> {
        name.check()?;
        let manifest = self.read_whole(&name.to_string(), "checkpoint")?;
        if manifest.name() != *name || manifest.purpose != Purpose::Checkpoint {
            let title = manifest.title();
            return Err(Error::corrupt(format!("{name} holds {title}")));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a savepoint.
    ///
    /// # Errors
    /// As [`Self::read_manifest`]; `Invalid` when there is none of that name.
    pub fn read_savepoint(&self, name: &str) -> Result<Manifest> {
        let object = name::savepoint(name)?;
        if !self.list_savepoints()?.iter().any(|found| found == name) {
            return Err(Error::unknown(format!("there is no savepoint {name}")));
        }
        self.read_whole(&object, "savepoint")
    }

    /// Reads a manifest.
    fn read_whole(&self, object: &str, what: &str) -> Result<Manifest> {
        let read = |bytes: Bytes| Manifest::decode(&bytes);
        let found = self.objects.read(object, None, read)?;
        let label = self.objects.label();
        found.ok_or_else(|| Error::corrupt(format!("{what} {object} of {label} is missing")))
    }

    /// Reads the state of a range of key groups of a node and delivers its entries, for each key group in the order in which they
    /// apply. Key groups without state deliver nothing. Memory is bounded by the options, or by a few of the largest slices.
    ///
    /// # Errors
    /// `Corrupt`, naming the object, when a segment is missing or damaged; whatever `deliver` returns. Entries delivered before an
    /// error are a part of the state only.
    pub fn load(
        &self,
        manifest: &Manifest,
        node: u32,
        key_groups: Range<u32>,
        deliver: &mut dyn FnMut(u32, Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(node) = manifest.nodes.get(&node) else {
            return Ok(());
        };
        if key_groups.is_empty() {
            return Ok(());
        }
        let chains = node
            .chains
            .range(key_groups)
            .map(|(id, slices)| Chain { id: *id, slices });
        let requests = read::requests(chains, &self.transfer);
        let mut deliver_slices = |parts: Vec<(Part<'_>, Bytes)>| {
            parts.into_iter().try_for_each(|(part, bytes)| {
                let mut input = Reader::new(&bytes);
                while let Some(entry) =
                    Entry::read(&mut input).map_err(|error| error.context(&part.slice.segment))?
                {
                    deliver(part.id, entry)?;
                }
                Ok(())
            })
        };
        self.fetch(&requests, &mut deliver_slices)
            .map_err(|error| error.context(&manifest.title()))
    }

    /// Reads every slice of a manifest and compares it with its checksum.
    ///
    /// # Errors
    /// `Corrupt`, naming the first object that is missing or damaged.
    pub fn verify(&self, manifest: &Manifest) -> Result<()> {
        let slices: Vec<_> = manifest.slices().collect();
        let chains = slices.into_iter().map(|slice| Chain {
            id: 0,
            slices: std::slice::from_ref(slice),
        });
        let requests = read::requests(chains, &self.transfer);
        self.fetch(&requests, &mut |_| Ok(()))
            .map_err(|error| error.context(&manifest.title()))
    }

    /// Sends requests and delivers the slices of each, in order.
    pub(super) fn fetch<'a>(
        &self,
        requests: &[Request<'a>],
        deliver: &mut dyn FnMut(Vec<(Part<'a>, Bytes)>) -> Result<()>,
    ) -> Result<()> {
        let fetch = |request: &Request<'a>| {
            let found = self
                .objects
                .read(request.segment, Some(&request.range), |bytes| {
                    request.split(&bytes)
                })?;
            let label = self.objects.label();
            found
                .ok_or_else(|| Error::corrupt(format!("{} of {label} is missing", request.segment)))
        };
        read::in_order(requests, &self.transfer, &fetch, deliver)
    }

    /// Notes the newest epoch that is known to be committed.
    ///
    /// Looks first, so that a process that was fenced does not undo the note of the one that runs. A race of the two is left: the note
    /// then names an older epoch, which a start notices by the sink's own record.
    ///
    /// # Errors
    /// `Conflict` when a later epoch of the same run is noted already; `Unavailable`.
    pub fn note_committed(&self, record: &EpochRecord) -> Result<()> {
        match self.committed_note() {
            Ok(Some(known)) if known.run == record.run && known.epoch > record.epoch => {
                return Err(Error::fenced(format!(
                    "epoch {} is noted as committed in {} already, and this process commits {}",
                    known.epoch,
                    self.objects.label(),
                    record.epoch
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind == Kind::Corrupt => {
                tracing::warn!(%error, "a damaged note of the committed epoch is replaced");
            }
            Err(error) => return Err(error),
        }
        let bytes = Bytes::from(note::encode(record)?);
        self.objects.put(name::COMMITTED, &[bytes])
    }

    /// The newest epoch noted as committed.
    ///
    /// # Errors
    /// `Corrupt` when the note is damaged; `Unavailable`.
    pub fn committed_note(&self) -> Result<Option<EpochRecord>> {
        let read = |bytes: Bytes| note::decode(&bytes);
        self.objects.read(name::COMMITTED, None, read)
    }

    /// The runs that have written segments, checkpoint or not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn segment_runs(&self) -> Result<BTreeSet<String>> {
        let segments = self.objects.list(name::SEGMENTS)?;
        let names = segments
            .iter()
            .filter_map(|object| name::segment_of(&object.name));
        Ok(names.map(|name| name.run).collect())
    }

    /// Deletes manifests that are not kept, and then the segments that nothing refers to any more.
    ///
    /// `settled.in_progress` must be above every epoch of `keep` of its run, and the newest complete checkpoint must be in `keep`. No
    /// other thread may write a savepoint meanwhile.
    ///
    /// # Errors
    /// `Corrupt` when a manifest that stays is missing or damaged, and then nothing was deleted; `Unavailable`, and then what is left
    /// goes with the next call.
    pub fn collect(&self, keep: &[CheckpointName], settled: Settled<'_>) -> Result<Collected> {
        let listed: Vec<CheckpointName> =
            self.list()?.into_iter().map(|listed| listed.name).collect();
        let doomed = collect::doomed_manifests(&listed, keep, settled)?;
        // Before the names that are protected: another thread may be writing merged segments.
        let segments = self.objects.list(name::SEGMENTS)?;
        let mut referenced: BTreeSet<Arc<str>> = self.unspliced().clone();
        for name in listed.iter().filter(|name| !doomed.contains(name)) {
            referenced.extend(self.read_manifest(name)?.segments());
        }
        for name in self.list_savepoints()? {
            let object = name::savepoint(&name)?;
            referenced.extend(self.read_whole(&object, "savepoint")?.segments());
        }
        let mut collected = Collected::default();
        for name in &doomed {
            self.objects.delete(&name.to_string())?;
            collected.manifest_count += 1;
        }
        let names = segments.iter().map(|object| object.name.as_str());
        let doomed: BTreeSet<&str> = collect::doomed_segments(names, &referenced, settled)
            .into_iter()
            .collect();
        for object in segments
            .iter()
            .filter(|object| doomed.contains(object.name.as_str()))
        {
            self.objects.delete(&object.name)?;
            collected.segment_count += 1;
            collected.segment_bytes += object.len;
        }
        self.objects.sweep()?;
        Ok(collected)
    }

    /// Deletes a savepoint's manifest; its segments go with the next [`Self::collect`].
    ///
    /// # Errors
    /// `Invalid` when the name is no file name; `Unavailable`.
    pub fn delete_savepoint(&self, name: &str) -> Result<()> {
        self.objects.delete(&name::savepoint(name)?)
    }

    /// Deletes everything, savepoints too: the statement is gone. Objects that are not a store's are left alone.
    ///
    /// # Errors
    /// `Unavailable`, and then what is left goes with the next call.
    pub fn delete_all(&self) -> Result<()> {
        self.objects.delete(name::COMMITTED)?;
        // Manifests first: what an interruption leaves is garbage, and never a manifest without its segments.
        for folder in [name::CHECKPOINTS, name::SAVEPOINTS, name::SEGMENTS] {
            for object in self.objects.list(folder)? {
                self.objects.delete(&object.name)?;
            }
        }
        self.objects.sweep()
    }
}

/// What the name of a probe begins with.
const PROBE: &str = "probe-";
