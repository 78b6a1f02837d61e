//! Names to bytes: what a checkpoint store needs from a disk or an object store.
//!
//! Place in the flow: below everything else of this folder; [`LocalObjects`](super::LocalObjects),
//! [`RemoteObjects`](super::RemoteObjects) and the models of [`super::testing`] implement it. Invariant: an object appears whole or not
//! at all, and once `put` has returned it survives a crash.

use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;

use crate::time::EpochMillis;

/// What a put does with an object of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Replaces it.
    Overwrite,
    /// Leaves it and fails with [`Fault::Exists`].
    IfAbsent,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name, relative to the store.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// When it was written, by the clock of the store.
    pub modified_ms: EpochMillis,
}

/// Why a call did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no object of that name.
    #[error("there is no such object")]
    Missing,
    /// There is one already.
    #[error("there is one already")]
    Exists,
    /// Another try would end the same way: no permission, a full or read-only device.
    #[error("{0}")]
    Refused(String),
    /// Another try may work: no answer, an overloaded server.
    #[error("{0}")]
    Passing(String),
}

/// A place that keeps objects.
///
/// Calls block. Names are relative, of printable ASCII without `..`, with `/` between folders.
///
/// # Errors
/// [`Fault`], which says whether another try makes sense. A put that failed with [`Fault::Passing`] may have been carried out.
pub trait Objects: Send + Sync + Debug {
    /// Stores an object durably; its bytes are those of all parts.
    ///
    /// # Errors
    /// As the trait says; [`Fault::Exists`] only with [`PutMode::IfAbsent`].
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Fault>;

    /// Reads an object or a part of it. May return fewer bytes than asked for: the caller checks.
    ///
    /// # Errors
    /// As the trait says.
    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Fault>;

    /// Every object below a folder, in any order; none when there is no such folder. The empty folder is the whole store.
    ///
    /// # Errors
    /// As the trait says.
    fn list(&self, folder: &str) -> Result<Vec<Object>, Fault>;

    /// Removes an object; that there is none is no error.
    ///
    /// # Errors
    /// As the trait says.
    fn delete(&self, name: &str) -> Result<(), Fault>;

    /// Removes what interrupted puts of others have left, and folders without objects.
    ///
    /// # Errors
    /// As the trait says.
    fn sweep(&self) -> Result<(), Fault> {
        Ok(())
    }
}
