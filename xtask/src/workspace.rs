//! What `cargo metadata` says about the workspace.
//!
//! Place in the flow: read once by `check` and `test`. Invariant: the lock file is taken as it is; a command that would have to
//! change it fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::command;

/// The workspace and everything it depends on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its root directory.
    pub(crate) root: PathBuf,
    /// Where cargo builds, and where fetched components live.
    pub(crate) target_dir: PathBuf,
    /// Every package that any target or platform of the workspace uses.
    pub(crate) packages: Vec<Package>,
}

/// A package.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    /// Cargo's id.
    pub(crate) id: String,
    /// Name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// SPDX expression.
    pub(crate) license: Option<String>,
    /// Where its `Cargo.toml` is.
    pub(crate) directory: PathBuf,
    /// Whether it belongs to the workspace.
    pub(crate) is_member: bool,
    /// Names of packages that its manifest names, of every kind, switched on or not.
    pub(crate) dependencies: Vec<String>,
    /// Names of packages that it really uses, with the features that are switched on.
    pub(crate) uses: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo fails, above all because the lock file is out of date.
    pub(crate) fn load() -> Result<Self> {
        let text = command::capture(Command::new(cargo()).args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
        ]))?;
        Self::parse(&text)
    }

    /// Reads cargo's answer.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("cargo metadata")?;
        let members: Vec<&str> = array(&json, "workspace_members")?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut packages = array(&json, "packages")?
            .iter()
            .map(|package| Package::parse(package, &members))
            .collect::<Result<Vec<_>>>()?;
        let names: BTreeMap<String, String> = packages
            .iter()
            .map(|package| (package.id.clone(), package.name.clone()))
            .collect();
        let nodes = array(&json["resolve"], "nodes")?;
        for package in &mut packages {
            package.uses = nodes
                .iter()
                .find(|node| node["id"].as_str() == Some(&package.id))
                .and_then(|node| node["dependencies"].as_array())
                .context("cargo metadata: a package without a node")?
                .iter()
                .filter_map(|id| names.get(id.as_str()?).cloned())
                .collect();
        }
        Ok(Self {
            root: PathBuf::from(string(&json, "workspace_root")?),
            target_dir: PathBuf::from(string(&json, "target_directory")?),
            packages,
        })
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_member)
    }
}

impl Package {
    /// Reads one package of cargo's answer.
    fn parse(json: &Value, members: &[&str]) -> Result<Self> {
        let id = string(json, "id")?;
        let manifest = PathBuf::from(string(json, "manifest_path")?);
        Ok(Self {
            is_member: members.contains(&id.as_str()),
            id,
            name: string(json, "name")?,
            version: string(json, "version")?,
            license: json["license"].as_str().map(str::to_owned),
            directory: manifest.parent().context("manifest path")?.to_owned(),
            dependencies: array(json, "dependencies")?
                .iter()
                .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect(),
            uses: Vec::new(),
        })
    }
}

/// The cargo that runs us, or the one in the search path.
pub(crate) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A member that must be an array.
fn array<'a>(json: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    json[key]
        .as_array()
        .ok_or_else(|| anyhow!("cargo metadata: no array \"{key}\""))
}

/// A member that must be a string.
fn string(json: &Value, key: &str) -> Result<String> {
    json[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("cargo metadata: no string \"{key}\""))
}
