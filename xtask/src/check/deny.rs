//! The rules of `deny.toml`.
//!
//! Place in the flow: `crates` applies them to what cargo reports. Invariant: the file stays one that cargo-deny reads, and a line
//! that this reader does not understand is an error, never a rule that is silently not applied.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail};

/// The rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Licences that may be used.
    pub(crate) licenses: BTreeSet<String>,
    /// Packages that may not be used.
    pub(crate) bans: Vec<Ban>,
    /// Packages of which a second version may not be used.
    pub(crate) single: BTreeSet<String>,
}

/// A package that may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// Its name.
    pub(crate) name: String,
    /// The only packages that may depend on it; empty means none.
    pub(crate) wrappers: Vec<String>,
}

impl Rules {
    /// Reads the part of TOML that the file uses: tables, strings, and arrays with one item a line.
    ///
    /// # Errors
    /// For a line or a key that is not known.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut rules = Self::default();
        let mut section = String::new();
        let mut array: Option<String> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let at = || anyhow!("deny.toml, line {}: cannot read {line:?}", index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(key) = &array {
                if line == "]" {
                    array = None;
                } else {
                    rules.item(key, line.trim_end_matches(',')).ok_or_else(at)?;
                }
            } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else {
                let (key, value) = line.split_once('=').ok_or_else(at)?;
                let key = format!("{section}.{}", key.trim());
                match value.trim() {
                    "[" => array = Some(key),
                    _ if SETTINGS.contains(&key.as_str()) => {}
                    _ => return Err(at()),
                }
            }
        }
        if let Some(key) = array {
            bail!("deny.toml: the array {key} does not end");
        }
        Ok(rules)
    }

    /// Takes one item of an array.
    fn item(&mut self, key: &str, item: &str) -> Option<()> {
        match key {
            "licenses.allow" => {
                self.licenses.insert(quoted(item)?.to_owned());
            }
            "bans.deny" => {
                let table = item.strip_prefix('{')?.strip_suffix('}')?.trim();
                let rest = table.strip_prefix("name = ")?;
                let (name, rest) = rest.split_once(',').unwrap_or((rest, ""));
                let name = quoted(name.trim())?.to_owned();
                match rest.trim() {
                    "" => self.bans.push(Ban {
                        name,
                        wrappers: Vec::new(),
                    }),
                    "deny-multiple-versions = true" => {
                        self.single.insert(name);
                    }
                    other => {
                        let list = other.strip_prefix("wrappers = [")?.strip_suffix(']')?;
                        let wrappers = list
                            .split(',')
                            .map(|word| quoted(word.trim()).map(str::to_owned))
                            .collect::<Option<_>>()?;
                        self.bans.push(Ban { name, wrappers });
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// Settings for cargo-deny that mean nothing here: `crates` lists second versions by itself.
const SETTINGS: [&str; 4] = [
    "graph.all-features",
    "licenses.confidence-threshold",
    "bans.multiple-versions",
    "bans.wildcards",
];

/// The text between two quotation marks.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_file_are_read() {
        let rules = Rules::parse(
            r#"
            # comment
            [licenses]
            confidence-threshold = 0.9
            allow = [
                "MIT",
                "Apache-2.0 WITH LLVM-exception",
            ]
            [bans]
            deny = [
                { name = "native-tls" },
                { name = "tokio", deny-multiple-versions = true },
                { name = "openssl-sys", wrappers = ["rdkafka-sys", "other"] },
            ]
            "#,
        )
        .unwrap();
        assert_eq!(rules.licenses.len(), 2);
        assert!(rules.single.contains("tokio"));
        assert_eq!(rules.bans.len(), 2);
        assert_eq!(rules.bans[1].wrappers, ["rdkafka-sys", "other"]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for bad in [
            "[bans]\nskip = [\n\"x\",\n]",
            "[licenses]\nallow = [\nMIT\n]",
            "[licenses]\nallow = [\n\"MIT\"",
            "[bans]\ndeny = [\n{ name = \"a\", reason = \"b\" },\n]",
            "[bans]\nunknown = true",
        ] {
            assert!(Rules::parse(bad).is_err(), "{bad}");
        }
    }
}
