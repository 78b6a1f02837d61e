//! Prometheus and promtool.
//!
//! Place in the flow: tests start the server themselves, on a port of their own. Invariant: the Debian package is unpacked and never
//! installed, since installing it would start a service.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::packages;
use crate::command;

/// Finds both programs, or unpacks Debian's package into the folder.
///
/// # Errors
/// When they are neither installed nor to be had.
pub(crate) fn fetch(stack: &Path) -> Result<(PathBuf, PathBuf)> {
    if let (Some(server), Some(tool)) = (
        command::find_program("prometheus"),
        command::find_program("promtool"),
    ) {
        return Ok((server, tool));
    }
    let folder = stack.join("prometheus");
    let server = folder.join("usr/bin/prometheus");
    let tool = folder.join("usr/bin/promtool");
    if !server.is_file() || !tool.is_file() {
        packages::unpack("prometheus", &folder)?;
    }
    if !server.is_file() || !tool.is_file() {
        bail!("the package prometheus did not bring prometheus and promtool; install them by hand");
    }
    Ok((server, tool))
}
