//! A case as its files say.
//!
//! Place in the flow: the harness lists the folders; a case is read when it is run. Invariant: a file or a word in `case.toml` that the
//! runner does not know is an error, so that no case tests less than its author believes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Result;
use super::input::{self, Step};
use super::ways::Way;

/// Partitions of a topic unless the case says otherwise: more than one, so that nothing depends on a single order by accident.
const PARTITIONS_DEFAULT: u32 = 2;

/// Name of the expected dead letters, which are those of every error table.
pub(crate) const DEAD_LETTERS: &str = "dlq";

/// What `case.toml` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    /// Why the case exists; for results by hand also how they follow.
    pub(crate) why: String,
    /// Who says that the expected rows are right.
    pub(crate) oracle: Oracle,
    /// Whether rows are compared without their order: `false` needs one partition and a query that keeps the order.
    #[serde(default = "yes")]
    pub(crate) sort: bool,
    /// The statement must fail with this text in its message.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// What is still missing in Weir; the case is counted and not run.
    #[serde(default)]
    pub(crate) pending: Option<String>,
    /// Partitions of topics by table.
    #[serde(default)]
    partitions: BTreeMap<String, u32>,
    /// Ways that cannot hold for this case, each with the reason.
    #[serde(default)]
    pub(crate) skip: BTreeMap<Way, String>,
}

/// The default of `sort`.
fn yes() -> bool {
    true
}

/// Who says that the expected rows are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Oracle {
    /// `flink.py` ran the case and compared.
    #[serde(rename = "flink-2.3.0")]
    Flink,
    /// A person; `why` has the reasoning.
    #[serde(rename = "by hand")]
    Hand,
}

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    /// `area/case`.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// `case.toml`.
    pub(crate) settings: Settings,
    /// `query.sql`.
    pub(crate) sql: String,
    /// What arrives, by table.
    pub(crate) input: BTreeMap<String, Vec<Step>>,
}

impl Case {
    /// Reads a folder.
    ///
    /// # Errors
    /// With the file and what is wrong in it.
    pub(crate) fn load(name: &str, dir: &Path) -> Result<Self> {
        let settings = toml::from_str(&read(&dir.join("case.toml"))?)
            .map_err(|error| format!("case.toml: {error}"))?;
        let mut case = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            settings,
            sql: read(&dir.join("query.sql"))?,
            input: BTreeMap::new(),
        };
        let known = ["case.toml", "query.sql", "input", "expected"];
        if let Some(other) = entries(dir)?
            .into_iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(format!("\"{other}\" is not part of a case"));
        }
        let input = input_of(dir);
        for table in tables(&input)? {
            let text = read(&input.join(format!("{table}.jsonl")))?;
            let steps = input::parse(&text, case.partitions(&table))
                .map_err(|error| format!("input/{table}.jsonl {error}"))?;
            case.input.insert(table, steps);
        }
        Ok(case)
    }

    /// Partitions of a table's topic.
    pub(crate) fn partitions(&self, table: &str) -> u32 {
        let chosen = self.settings.partitions.get(table).copied();
        chosen.unwrap_or(PARTITIONS_DEFAULT)
    }

    /// Names of the expected files, without ending.
    ///
    /// # Errors
    /// As [`tables`].
    pub(crate) fn expected_names(&self) -> Result<BTreeSet<String>> {
        tables(&self.dir.join("expected"))
    }

    /// The file of expected rows of a table.
    pub(crate) fn expected_path(&self, table: &str) -> PathBuf {
        self.dir.join("expected").join(format!("{table}.jsonl"))
    }

    /// Expected rows of a table; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn expected(&self, table: &str) -> Result<Vec<String>> {
        let path = self.expected_path(table);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = read(&path)?;
        Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

/// Every case below a folder as `area/case` and its folder, in the order of names.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn list(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut cases = Vec::new();
    for area in entries(root)? {
        if !root.join(&area).is_dir() {
            continue;
        }
        for case in entries(&root.join(&area))? {
            let dir = root.join(&area).join(&case);
            if dir.join("case.toml").is_file() {
                cases.push((format!("{area}/{case}"), dir));
            }
        }
    }
    Ok(cases)
}

/// Where the records of a case are: in its own folder, else in that of its area.
fn input_of(dir: &Path) -> PathBuf {
    let own = dir.join("input");
    let of_area = dir.join("../input");
    if !own.exists() && of_area.exists() {
        of_area
    } else {
        own
    }
}

/// Names of the `.jsonl` files of a folder, without ending; none when there is no folder.
fn tables(dir: &Path) -> Result<BTreeSet<String>> {
    if !dir.exists() {
        return Ok(BTreeSet::new());
    }
    let table = |name: String| match name.strip_suffix(".jsonl") {
        Some(table) => Ok(table.to_owned()),
        None => Err(format!("\"{name}\" in {} is no .jsonl file", dir.display())),
    };
    entries(dir)?.into_iter().map(table).collect()
}

/// Names in a folder, ascending.
fn entries(dir: &Path) -> Result<BTreeSet<String>> {
    let failed = |error: std::io::Error| format!("list {}: {error}", dir.display());
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        names.insert(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(names)
}

/// Reads a text file.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}
