//! Compiles every test binary of the workspace and finds out where they are.
//!
//! Place in the flow: the first part of `test`. Invariant: always the whole workspace with one feature set and one profile, so that
//! no dependency is compiled twice.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{Workspace, cargo};

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The crate's name.
    pub(crate) package: String,
    /// The target's name, such as `it` or `weir_runtime`.
    pub(crate) target: String,
    /// Whether it lies in a `tests` folder; otherwise it holds the unit tests of a library or program.
    pub(crate) is_integration: bool,
    /// The executable.
    pub(crate) path: PathBuf,
    /// The crate's directory, in which it runs.
    pub(crate) directory: PathBuf,
}

/// Compiles, with cargo's own progress on our error output.
///
/// # Errors
/// When something does not compile.
pub(crate) fn test_binaries(workspace: &Workspace, profile: &str) -> Result<Vec<TestBinary>> {
    let output = Command::new(cargo())
        .args([
            "test",
            "--workspace",
            "--profile",
            profile,
            "--locked",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the workspace does not compile");
    }
    let mut binaries: Vec<TestBinary> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| parse(line, workspace))
        .collect();
    binaries.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
    Ok(binaries)
}

/// Reads a message of cargo; absent when it is not about a test binary.
fn parse(line: &str, workspace: &Workspace) -> Option<TestBinary> {
    let json: Value = serde_json::from_str(line).ok()?;
    if json["reason"] != "compiler-artifact" || json["profile"]["test"] != true {
        return None;
    }
    let id = json["package_id"].as_str()?;
    let package = workspace.members().find(|package| package.id == id)?;
    let kinds = json["target"]["kind"].as_array()?;
    Some(TestBinary {
        package: package.name.clone(),
        target: json["target"]["name"].as_str()?.to_owned(),
        is_integration: kinds.iter().any(|kind| kind == "test"),
        path: PathBuf::from(json["executable"].as_str()?),
        directory: package.directory.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn test_binaries_are_told_from_other_artifacts() {
        let workspace = Workspace {
            root: PathBuf::new(),
            target_dir: PathBuf::new(),
            packages: vec![Package {
                id: "id".into(),
                name: "weir".into(),
                is_member: true,
                ..Package::default()
            }],
        };
        let message = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"id","target":{{"kind":["test"],"name":"it"}},"profile":{{"test":{test}}},"executable":"it-1"}}"#
            )
        };
        let binary = parse(&message(true), &workspace).unwrap();
        assert!(binary.is_integration);
        assert_eq!(binary.target, "it");
        assert_eq!(parse(&message(false), &workspace), None);
        assert_eq!(parse("not json", &workspace), None);
    }
}
