//! Objects as files of a local directory.
//!
//! Place in the flow: implements [`Objects`] for plain paths and `file://`. Invariant: a file has its final name only once its bytes
//! are on the device, and `put` returns only once the name is there too.
//!
//! `object_store` has a local store, which does not call fsync; this one does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use crate::checkpoint::store::objects::{Fault, Object, Objects, PutMode};

/// The folder of files that are being written.
const PARTIAL: &str = "partial";

/// Small parts of an object are gathered up to this many bytes; larger ones are written as they are.
///
/// # Source
/// Guess, unmeasured.
const BUFFER_BYTES: usize = 256 << 10;

/// A directory.
#[derive(Debug)]
pub struct LocalObjects {
    /// The directory.
    root: PathBuf,
    /// Tells the partial files of this process from those of others.
    token: String,
    /// Partial files begun.
    partial_count: AtomicU64,
}

/// Whether an error is worth another try.
fn fault(path: &Path, error: &io::Error) -> Fault {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        io::ErrorKind::AlreadyExists => Fault::Exists,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::Unsupported => Fault::Refused(text),
        _ => Fault::Passing(text),
    }
}

/// A missing folder while writing is one that somebody has just removed, so another try may work.
fn write_fault(path: &Path, error: &io::Error) -> Fault {
    match fault(path, error) {
        Fault::Missing => Fault::Passing(format!("{}: {error}", path.display())),
        known @ (Fault::Exists | Fault::Refused(_) | Fault::Passing(_)) => known,
    }
}

/// Makes the directory entries of a folder durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a folder and those above it, each durable before the next.
fn ensure_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    ensure_dir(parent)?;
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(error) => return Err(error),
    }
    sync_dir(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

impl LocalObjects {
    /// Objects below `root`, which is created with the first of them. `token` is unique among processes that use the directory.
    pub fn new(root: PathBuf, token: String) -> Self {
        Self {
            root,
            token,
            partial_count: AtomicU64::new(0),
        }
    }

    /// Writes a file under a name of its own and makes its bytes durable.
    fn write_partial(path: &Path, parts: &[Bytes]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        for part in parts {
            writer.write_all(part)?;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    /// Gives a durable partial file its final name.
    fn publish(partial: &Path, path: &Path, mode: PutMode) -> io::Result<()> {
        match mode {
            PutMode::Overwrite => fs::rename(partial, path),
            // A link, other than a rename, fails when the name is taken, and does so in one step.
            PutMode::IfAbsent => fs::hard_link(partial, path),
        }?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// Adds the files below a folder.
    fn walk(&self, dir: &Path, found: &mut Vec<Object>) -> io::Result<()> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_dir() {
                if path != self.root.join(PARTIAL) {
                    self.walk(&path, found)?;
                }
                continue;
            }
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            let age = metadata.modified()?.duration_since(UNIX_EPOCH);
            if let Some(name) = name {
                found.push(Object {
                    name: name.to_owned(),
                    len: metadata.len(),
                    modified_ms: age
                        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
                });
            }
        }
        Ok(())
    }

    /// Removes the partial files of other processes.
    fn sweep_partial(&self) -> io::Result<()> {
        let dir = self.root.join(PARTIAL);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let is_ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(&self.token));
            if !is_ours {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes a file; that there is none is no error.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes folders without files, deepest first.
fn prune(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            prune(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
            ) =>
        {
            Err(error)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Objects for LocalObjects {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Fault> {
        let path = self.root.join(name);
        let serial = self.partial_count.fetch_add(1, Ordering::Relaxed);
        let partial = self
            .root
            .join(PARTIAL)
            .join(format!("{}-{serial}", self.token));
        let write = || -> io::Result<()> {
            ensure_dir(&self.root.join(PARTIAL))?;
            ensure_dir(path.parent().unwrap_or(Path::new(".")))?;
            Self::write_partial(&partial, parts)?;
            Self::publish(&partial, &path, mode)
        };
        let written = write();
        if let Err(error) = remove_file(&partial) {
            tracing::warn!(path = %partial.display(), %error, "a partial file could not be removed");
        }
        written.map_err(|error| write_fault(&path, &error))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Fault> {
        let path = self.root.join(name);
        let read = || -> io::Result<Vec<u8>> {
            let Some(range) = &range else {
                return fs::read(&path);
            };
            let file = File::open(&path)?;
            let len = usize::try_from(range.end.saturating_sub(range.start))
                .map_err(|_| io::ErrorKind::FileTooLarge)?;
            let mut bytes = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut bytes[filled..], range.start + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        };
        read()
            .map(Bytes::from)
            .map_err(|error| fault(&path, &error))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, Fault> {
        let dir = self.root.join(folder);
        let mut found = Vec::new();
        self.walk(&dir, &mut found)
            .map_err(|error| write_fault(&dir, &error))?;
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<(), Fault> {
        let path = self.root.join(name);
        remove_file(&path).map_err(|error| fault(&path, &error))
    }

    fn sweep(&self) -> Result<(), Fault> {
        self.sweep_partial()
            .and_then(|()| prune(&self.root))
            .map_err(|error| write_fault(&self.root, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects in a directory that does not exist yet.
    fn objects() -> (tempfile::TempDir, LocalObjects) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("not/yet");
        (dir, LocalObjects::new(root, "me".into()))
    }

    #[test]
    fn objects_are_put_read_listed_and_deleted() {
        let (_dir, objects) = objects();
        assert_eq!(objects.list("").unwrap(), []);
        let parts = [Bytes::from_static(b"0123"), Bytes::from_static(b"456789")];
        objects.put("a/b/c", &parts, PutMode::IfAbsent).unwrap();
        assert_eq!(
            objects.put("a/b/c", &parts, PutMode::IfAbsent),
            Err(Fault::Exists)
        );
        objects.put("a/b/c", &parts, PutMode::Overwrite).unwrap();
        assert_eq!(objects.read("a/b/c", None).unwrap(), &b"0123456789"[..]);
        assert_eq!(objects.read("a/b/c", Some(2..5)).unwrap(), &b"234"[..]);
        assert_eq!(objects.read("a/b/c", Some(8..50)).unwrap(), &b"89"[..]);
        assert_eq!(objects.read("a/x", None), Err(Fault::Missing));
        let listed = objects.list("a").unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str()), (1, "a/b/c"));
        assert!(listed[0].modified_ms > 0);
        objects.delete("a/b/c").unwrap();
        objects.delete("a/b/c").unwrap();
        assert_eq!(objects.list("").unwrap(), []);
    }

    #[test]
    fn sweeping_leaves_own_partial_files_and_what_is_stored() {
        let (_dir, objects) = objects();
        let parts = [Bytes::from_static(b"x")];
        objects.put("kept", &parts, PutMode::Overwrite).unwrap();
        let partial = objects.root.join(PARTIAL);
        fs::write(partial.join("me-7"), b"").unwrap();
        fs::write(partial.join("other-7"), b"").unwrap();
        fs::create_dir_all(objects.root.join("segments/old")).unwrap();
        objects.sweep().unwrap();
        assert!(partial.join("me-7").exists());
        assert!(!partial.join("other-7").exists());
        assert!(!objects.root.join("segments").exists());
        assert_eq!(objects.list("").unwrap().len(), 1);
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_refused() {
        let (_dir, objects) = objects();
        let parts = [Bytes::from_static(b"x")];
        objects.put("a", &parts, PutMode::Overwrite).unwrap();
        assert!(matches!(
            objects.put("a/b", &parts, PutMode::Overwrite),
            Err(Fault::Refused(_) | Fault::Exists | Fault::Passing(_))
        ));
    }
}
