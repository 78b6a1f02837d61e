//! Small file helpers of the log: errors that name the file, durable renames, locks that survive a panic elsewhere.
//!
//! Place in the flow: below every other file of the folder. Invariant: an I/O error never leaves without the path and the action.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// Locks, whatever happened to other holders: what the mutexes of the log protect is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A storage error that names action and path: `cannot create "/x": permission denied`.
pub(super) fn storage(action: &str, path: &Path, error: &io::Error) -> Error {
    Error::storage(format!("cannot {action} \"{}\": {error}", path.display()))
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// `Storage` naming the directory.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(|error| storage("sync directory", dir, &error))
}

/// Replaces a file as a whole: the old or the new content is there after a crash, never a mixture.
///
/// # Errors
/// `Storage` naming the file.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    exchange(path, content)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// As [`replace`], but after a crash the old content may come back until the directory is synced. Nothing has happened on an error.
///
/// # Errors
/// `Storage` naming the file.
pub(super) fn exchange(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|file| {
        file.write_all_at(content, 0)?;
        file.sync_all()
    });
    written.map_err(|error| storage("write", &temporary, &error))?;
    std::fs::rename(&temporary, path).map_err(|error| storage("replace", path, &error))
}

/// Reads `len` bytes at `position` to the end of `buffer`, or as many as there are.
///
/// # Errors
/// What the operating system says.
pub(super) fn read_at(
    file: &File,
    position: u64,
    len: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.reserve(len);
    let wanted = buffer.len() + len;
    while buffer.len() < wanted {
        let left = wanted - buffer.len();
        let at = position + (len - left) as u64;
        let spare = rustix::buffer::spare_capacity(buffer);
        let read = match rustix::io::pread(file, spare, at) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if read == 0 {
            break;
        }
    }
    buffer.truncate(wanted);
    Ok(())
}
