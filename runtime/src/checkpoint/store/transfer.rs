//! The objects of a savepoint, for whoever copies it to another store.
//!
//! Place in the flow: an export lists and reads them, an import stores them and names them last. Invariant: a savepoint is there only
//! once everything that it refers to is.

use bytes::Bytes;

use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::store::manifest::{Manifest, Owner};
use crate::checkpoint::store::name;
use crate::checkpoint::store::objects::Object;
use crate::error::{Error, Result};

impl CheckpointStore {
    /// The objects of a savepoint, by name: its manifest and every segment that it refers to.
    ///
    /// # Errors
    /// As [`Self::read_savepoint`]; `Corrupt` when a segment is missing.
    pub fn savepoint_objects(&self, name: &str) -> Result<Vec<Object>> {
        let manifest = self.read_savepoint(name)?;
        let object = name::savepoint(name)?;
        let mut objects = self.objects.list(name::SAVEPOINTS)?;
        objects.retain(|found| found.name == object);
        let segments = self.objects.list(name::SEGMENTS)?;
        for segment in manifest.segments() {
            let found = segments.iter().find(|found| *found.name == *segment);
            let found = found.ok_or_else(|| {
                Error::corrupt(format!(
                    "{segment} of {}, which savepoint {name} refers to, is missing",
                    self.objects.label()
                ))
            })?;
            objects.push(found.clone());
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Bytes of an object from `offset` on, at most `len_max`; fewer only at its end.
    ///
    /// # Errors
    /// `Corrupt` when the object is missing or shorter than it was listed; `Unavailable`.
    pub fn read_object(&self, object: &Object, offset: u64, len_max: u64) -> Result<Bytes> {
        let end = object.len.min(offset.saturating_add(len_max));
        if offset >= end {
            return Ok(Bytes::new());
        }
        let check = |bytes: Bytes| {
            if bytes.len() as u64 == end - offset {
                Ok(bytes)
            } else {
                Err(Error::corrupt(format!(
                    "bytes {offset}..{end} are cut short"
                )))
            }
        };
        let found = self
            .objects
            .read(&object.name, Some(&(offset..end)), check)?;
        found.ok_or_else(|| {
            Error::corrupt(format!(
                "{} of {} is missing",
                object.name,
                self.objects.label()
            ))
        })
    }

    /// Stores a segment of a savepoint that comes from elsewhere.
    ///
    /// # Errors
    /// `Invalid` when the name is none of a segment; `Unavailable`.
    pub fn put_segment(&self, segment: &str, bytes: Bytes) -> Result<()> {
        if name::segment_of(segment).is_none() {
            return Err(Error::validation(format!(
                "{segment:?} is no name of a segment"
            )));
        }
        self.objects.put(segment, &[bytes])
    }

    /// Stores a savepoint that comes from elsewhere, once its segments are there; it belongs to `owner` from then on.
    ///
    /// # Errors
    /// `Invalid` when the plan differs or the name is taken; `Corrupt` when a segment is missing or damaged; `Unavailable`.
    pub fn adopt_savepoint(
        &self,
        name: &str,
        mut manifest: Manifest,
        (owner, statement_name): (Owner<'_>, &str),
    ) -> Result<Manifest> {
        owner.statement_uid.clone_into(&mut manifest.statement_uid);
        statement_name.clone_into(&mut manifest.statement_name);
        manifest.ensure_owner(owner)?;
        self.verify(&manifest)?;
        self.write_savepoint(name, &manifest)?;
        Ok(manifest)
    }
}
