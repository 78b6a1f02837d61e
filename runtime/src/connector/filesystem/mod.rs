//! Files in a directory.
//!
//! Enters: a directory or a file, one record a line. Leaves: undecoded records for the format, or finished files of encoded
//! records. No partition directories, no compression and no watching for new files.

mod sink;
mod source;

pub use sink::FilesystemSink;
pub use source::FilesystemSource;

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;

/// A storage error that names action and path: `cannot create "/x": permission denied`.
fn storage(action: &str, path: &Path, error: &io::Error) -> Error {
    Error::storage(format!("cannot {action} \"{}\": {error}", path.display()))
}

/// The `path` of a table.
///
/// # Errors
/// `Invalid` when it is missing; `Unsupported` for a scheme other than `file`.
fn path_of(table: &TableDef) -> Result<PathBuf> {
    let text = table.option("path").unwrap_or_default();
    let path = match text.split_once("://") {
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            return Err(Error::unsupported(format!(
                "option 'path': scheme \"{scheme}\" in \"{text}\"; only local files are read and written"
            )));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        return Err(Error::option(format!(
            "table {}: option 'path' is missing; it names a file or a directory",
            table.name
        )));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests;
