//! Crates: licences, banned ones, second versions, and who may depend on whom.
//!
//! Place in the flow: a step of `check`. Invariant: the table of allowed edges is the architecture's; a crate without a row in it
//! is refused, so that a new crate is a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};

use super::Problems;
use super::deny::Rules;
use super::spdx;
use crate::workspace::{Package, Workspace};

/// For each crate of the workspace, the crates of the workspace that it may depend on.
const EDGES: [(&str, &[&str]); 9] = [
    ("weir-model", &[]),
    ("weir-runtime", &["weir-model"]),
    ("weir-metrics-exporter", &["weir-model"]),
    ("weir-estimator", &["weir-model"]),
    (
        "weir-server",
        &[
            "weir-model",
            "weir-runtime",
            "weir-metrics-exporter",
            "weir-estimator",
        ],
    ),
    (
        "weir",
        &[
            "weir-model",
            "weir-runtime",
            "weir-metrics-exporter",
            "weir-estimator",
            "weir-server",
        ],
    ),
    ("weir-conformance", &["weir-runtime"]),
    (
        "weir-benches",
        &["weir-model", "weir-runtime", "weir-estimator"],
    ),
    ("xtask", &[]),
];

/// What this program itself may depend on, so that it builds in seconds.
const XTASK_DEPENDENCIES: [&str; 2] = ["anyhow", "serde_json"];

/// Applies every rule.
pub(crate) fn check(workspace: &Workspace) -> Result<Problems> {
    let path = workspace.root.join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let rules = Rules::parse(&text)?;
    let mut problems = edges(workspace);
    problems.extend(licenses(&workspace.packages, &rules));
    problems.extend(bans(&workspace.packages, &rules));
    problems.extend(second_versions(&workspace.packages, &rules));
    Ok(problems)
}

/// Edges between crates of the workspace that the table does not allow.
fn edges(workspace: &Workspace) -> Problems {
    let members: BTreeSet<&str> = workspace.members().map(|p| p.name.as_str()).collect();
    let mut problems = Problems::new();
    for package in workspace.members() {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!(
                "crate {}: no row in the table of allowed edges",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.as_str();
            if members.contains(name) && !allowed.contains(&name) {
                problems.push(format!("crate {} must not depend on {name}", package.name));
            }
            if package.name == "xtask" && !XTASK_DEPENDENCIES.contains(&name) {
                problems.push(format!("xtask must stay light: dependency {name}"));
            }
        }
    }
    problems
}

/// Packages whose licence is missing or not in the list.
fn licenses(packages: &[Package], rules: &Rules) -> Problems {
    packages
        .iter()
        .filter_map(|package| match &package.license {
            None => Some(format!(
                "licence of {} {}: not given",
                package.name, package.version
            )),
            Some(license) if !spdx::is_allowed(license, &rules.licenses) => Some(format!(
                "licence of {} {}: {license} is not in the allow list of deny.toml",
                package.name, package.version
            )),
            Some(_) => None,
        })
        .collect()
}

/// Banned packages, and who brings them in.
fn bans(packages: &[Package], rules: &Rules) -> Problems {
    let mut problems = Problems::new();
    for ban in &rules.bans {
        let users: Vec<&str> = packages
            .iter()
            .filter(|package| package.uses.contains(&ban.name))
            .map(|package| package.name.as_str())
            .filter(|user| !ban.wrappers.iter().any(|wrapper| wrapper == user))
            .collect();
        if !users.is_empty() {
            problems.push(format!(
                "banned: {}, used by {}",
                ban.name,
                users.join(", ")
            ));
        }
    }
    problems
}

/// Second versions: of a package that must be single an error, of any other a line of information.
fn second_versions(packages: &[Package], rules: &Rules) -> Problems {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut problems = Problems::new();
    for (name, versions) in versions {
        let list = versions.into_iter().collect::<Vec<_>>().join(", ");
        if is_single(name, rules) {
            problems.push(format!("second version of {name}: {list}"));
        } else {
            println!("note: {name} in several versions: {list}");
        }
    }
    problems
}

/// Whether only one version of a package may be used: the listed ones and all of Arrow, whose types cross crate borders.
fn is_single(name: &str, rules: &Rules) -> bool {
    rules.single.contains(name) || name == "arrow" || name.starts_with("arrow-")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A package with a licence of the list.
    fn package(name: &str, version: &str) -> Package {
        Package {
            id: format!("{name}@{version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some("MIT".to_owned()),
            ..Package::default()
        }
    }

    /// Rules with MIT, one ban and one single package.
    fn rules() -> Rules {
        Rules::parse(
            "[licenses]\nallow = [\n\"MIT\",\n]\n[bans]\ndeny = [\n{ name = \"native-tls\" },\n{ name = \"openssl-sys\", wrappers = [\"rdkafka-sys\"] },\n{ name = \"ring\", deny-multiple-versions = true },\n]",
        )
        .unwrap()
    }

    #[test]
    fn an_edge_against_the_architecture_is_refused() {
        let mut model = package("weir-model", "0.1.0");
        model.is_member = true;
        model.dependencies = vec!["weir-server".into(), "serde".into()];
        let mut server = package("weir-server", "0.1.0");
        server.is_member = true;
        server.dependencies = vec!["weir-model".into()];
        let mut stranger = package("weir-utils", "0.1.0");
        stranger.is_member = true;
        let workspace = Workspace {
            root: PathBuf::new(),
            target_dir: PathBuf::new(),
            packages: vec![model, server, stranger],
        };
        assert_eq!(
            edges(&workspace),
            [
                "crate weir-model must not depend on weir-server",
                "crate weir-utils: no row in the table of allowed edges"
            ]
        );
    }

    #[test]
    fn a_second_version_of_a_single_package_is_refused() {
        let packages = [
            package("ring", "0.17.0"),
            package("ring", "0.18.0"),
            package("arrow-cast", "60.0.0"),
            package("arrow-cast", "61.0.0"),
            package("syn", "2.0.0"),
            package("syn", "3.0.0"),
        ];
        assert_eq!(
            second_versions(&packages, &rules()),
            [
                "second version of arrow-cast: 60.0.0, 61.0.0",
                "second version of ring: 0.17.0, 0.18.0"
            ]
        );
    }

    #[test]
    fn a_missing_or_foreign_licence_is_refused() {
        let mut bare = package("bare", "1.0.0");
        bare.license = None;
        let mut foreign = package("foreign", "1.0.0");
        foreign.license = Some("AGPL-3.0".to_owned());
        assert_eq!(licenses(&[bare, foreign], &rules()).len(), 2);
    }

    #[test]
    fn a_banned_package_is_allowed_to_its_wrappers_only() {
        let mut wrapper = package("rdkafka-sys", "4.0.0");
        wrapper.uses = vec!["openssl-sys".into()];
        assert_eq!(bans(&[wrapper.clone()], &rules()), Problems::new());
        let mut other = package("other", "1.0.0");
        other.uses = vec!["openssl-sys".into(), "native-tls".into()];
        assert_eq!(
            bans(&[wrapper, other], &rules()),
            [
                "banned: native-tls, used by other",
                "banned: openssl-sys, used by other"
            ]
        );
    }
}
