//! Moving statements between servers: what is exported, and how its bytes are reached.
//!
//! Enters: a statement and one of its savepoints. Leaves: a manifest with checksums and the objects it names; on the other server the
//! way back. [`SavepointSource`] and [`SavepointTarget`] are all that is asked of the store of checkpoints.

mod export;
mod import;
mod manifest;

use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use weir_runtime::error::Result;

pub use import::{Import, ImportOptions};
pub use manifest::{ExportedObject, ExportedSavepoint, ExportedStatement, ExportedTable, Manifest};

/// An object of a savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointObject {
    /// Name relative to the savepoint, parts separated by `/`; no part is empty, `.` or `..`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// The bytes of a stored savepoint: its manifest and every segment it references.
pub trait SavepointSource: Send + Sync + Debug {
    /// Every object, ordered by name.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer.
    fn objects(&self) -> Result<Vec<SavepointObject>>;

    /// At most `bytes_max` bytes of an object from `offset` on; fewer only at its end.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer or has no such object.
    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Bytes>;
}

/// Where a savepoint is written to.
pub trait SavepointTarget: Send + Sync + Debug {
    /// Stores a file as an object, durably. The same name again replaces it.
    ///
    /// # Errors
    /// `Unavailable` when the store refuses.
    fn put(&self, name: &str, file: &Path) -> Result<()>;

    /// Makes the savepoint whole once every object is there; its location.
    ///
    /// # Errors
    /// `Unavailable` when the store refuses.
    fn finish(&self) -> Result<String>;
}
