//! Virtual environments of Python.
//!
//! Place in the flow: a component that is a Python package asks for its environment. Invariant: packages live in the target directory,
//! each with a pinned version, and an environment that is not complete is made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::packages;
use crate::command;

/// Marks an environment as complete, holding the requirements it was made from.
const COMPLETE: &str = "complete.txt";

/// Packages that belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Environment {
    /// Its folder in the stack's.
    pub(super) folder: &'static str,
    /// What it holds, for people.
    pub(super) what: &'static str,
    /// What is installed: lines of `requirements.txt`, part of this program, so that a change of it is a new set.
    pub(super) requirements: &'static str,
}

impl Environment {
    /// Makes the environment, unless the same one is there; its interpreter.
    ///
    /// # Errors
    /// When Python is missing and cannot be installed, or a package cannot be fetched.
    pub(super) fn fetch(&self, stack: &Path) -> Result<PathBuf> {
        let folder = stack.join(self.folder);
        let interpreter = folder.join("bin/python");
        let marker = folder.join(COMPLETE);
        if fs::read_to_string(&marker).is_ok_and(|text| text == self.requirements) {
            return Ok(interpreter);
        }
        println!("fetching {}", self.what);
        let python = packages::program("python3", &["python3"])?;
        // Debian splits this module off from Python.
        if command::capture(Command::new(&python).args(["-c", "import ensurepip"])).is_err() {
            packages::install("python3-venv")?;
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        command::run(Command::new(&python).args(["-m", "venv"]).arg(&folder))
            .context("making a virtual environment of Python")?;
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, self.requirements)?;
        command::run(
            Command::new(&interpreter)
                .args(["-m", "pip", "install", "--quiet", "--no-input"])
                .args(["--disable-pip-version-check", "--only-binary", ":all:"])
                .arg("--requirement")
                .arg(&requirements),
        )
        .with_context(|| format!("fetching {} with pip", self.what))?;
        fs::write(&marker, self.requirements)?;
        Ok(interpreter)
    }

    /// Fails unless every package has one version, and this one is among them.
    #[cfg(test)]
    pub(super) fn assert_pinned(&self, package: &str) {
        let mut lines = self
            .requirements
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(lines.clone().all(|line| line.contains("==")));
        assert!(lines.any(|line| line.starts_with(&format!("{package}=="))));
    }
}
