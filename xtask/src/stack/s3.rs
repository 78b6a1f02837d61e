//! An S3 server: Moto, a model of AWS that keeps its objects in memory.
//!
//! Place in the flow: started once per run of `test`, after everything is compiled. Invariant: its packages live in a virtual
//! environment of the target directory, each with a pinned version, and it ends with its handle.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Components;
use super::python::Environment;
use crate::command::{self, Background, wait_for};

/// The environment that has it.
pub(super) const ENVIRONMENT: Environment = Environment {
    folder: "s3",
    what: "Moto",
    requirements: include_str!("../../stack/s3/requirements.txt"),
};

/// How long the server may take to be ready.
///
/// # Source
/// 1.5 s measured on an idle machine; the rest is for a loaded one and for byte code that is compiled at the first start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct S3 {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// The process.
    _process: Background,
}

impl S3 {
    /// Starts a server without buckets on a free port and waits until it takes connections.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the message names its log.
    pub(crate) fn start(components: &Components) -> Result<Self> {
        let folder = components.run_dir.join("s3");
        let pid_file = folder.join("s3.pid");
        let log = folder.join("server.log");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        command::end_leftover(&pid_file, "moto.server")?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut server = Command::new(&components.s3_python);
        server
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(address.port().to_string());
        let process = Background::start(&server, &pid_file, &log)?;
        wait_for("S3 to be ready", START_LIMIT, || {
            process.ensure_running()?;
            Ok(TcpStream::connect(address).ok().map(drop))
        })
        .with_context(|| format!("see {}", log.display()))?;
        Ok(Self {
            endpoint: format!("http://{address}"),
            _process: process,
        })
    }
}

#[test]
fn versions_are_pinned() {
    ENVIRONMENT.assert_pinned("moto");
}
