//! Debian packages that a machine lacks.
//!
//! Place in the flow: `stack` asks for programs. Invariant: a program that is there already is used as it is, and no service is
//! started by an installation: what brings one (Prometheus) is unpacked, not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Finds a program, or installs the first of the packages that can be installed.
///
/// # Errors
/// When neither works; the message names the packages.
pub(crate) fn program(name: &str, packages: &[&str]) -> Result<PathBuf> {
    if let Some(path) = command::find_program(name) {
        return Ok(path);
    }
    println!("installing {name}");
    update()?;
    for package in packages {
        let installed = command::run(
            apt()?
                .args(["install", "--yes", "--no-install-recommends", "-qq"])
                .arg(package),
        );
        match (installed, command::find_program(name)) {
            (Ok(()), Some(path)) => return Ok(path),
            (Ok(()), None) => println!("{package} brought no {name}"),
            (Err(error), _) => println!("{error:#}"),
        }
    }
    bail!(
        "no {name} in the search path; install it by hand, for instance the package {}",
        packages.join(" or ")
    )
}

/// Installs a package that brings no program of its own.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn install(package: &str) -> Result<()> {
    println!("installing {package}");
    update()?;
    command::run(
        apt()?
            .args(["install", "--yes", "--no-install-recommends", "-qq"])
            .arg(package),
    )
    .with_context(|| format!("install the package {package} by hand"))
}

/// Unpacks a package into a folder without installing it.
///
/// # Errors
/// When it cannot be downloaded or unpacked.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    println!("fetching {package}");
    update()?;
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            std::fs::remove_file(path)?;
        }
    }
    command::run(
        Command::new("apt-get")
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root", package])
            .current_dir(folder),
    )?;
    let archive = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("no archive of {package} was downloaded"))?;
    command::run(Command::new("dpkg").arg("-x").arg(&archive).arg(folder))?;
    std::fs::remove_file(archive)?;
    Ok(())
}

/// Fetches the lists of packages.
fn update() -> Result<()> {
    command::run(apt()?.args(["update", "-qq"]))
        .context("the lists of Debian packages cannot be fetched")
}

/// `apt-get`, with `sudo` where we are not root.
fn apt() -> Result<Command> {
    if command::find_program("apt-get").is_none() {
        bail!(
            "this machine has no apt-get: install java, mvn, prometheus, promtool and python3 with venv by hand"
        );
    }
    let is_root = command::capture(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "apt-get"]);
        command
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}
