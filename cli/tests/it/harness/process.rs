//! Programs that tests start.
//!
//! Place in the flow: every other module of the harness starts programs through it. Invariant: a program ends with its handle, and
//! its output is kept in a file that failures name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::wait_for;

/// A running program, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    /// The program.
    child: Child,
    /// Its output of both kinds.
    log: PathBuf,
}

impl Process {
    /// Starts it with its output in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// What it printed so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to end, as a shutdown of the machine does, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be asked, or does not end within so many seconds.
    pub(crate) fn terminate(mut self, seconds_max: u64) -> Result<()> {
        output(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        wait_for("the end of a program", seconds_max, || {
            Ok(self.child.try_wait()?.map(drop))
        })
    }

    /// Ends it with `kill -9`, unless it has ended.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// When it has ended; the message carries what it printed.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}:\n{}", self.log());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("cannot end a program: {error}");
        }
    }
}

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// When it does not succeed; the message carries what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "{name} {:?}: {}\n{text}\n{}",
            command.get_args().collect::<Vec<_>>(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(text)
}
