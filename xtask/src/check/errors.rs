//! Every error code has a page, and every page an error code.
//!
//! Place in the flow: a step of `check`. Invariant: the numbers are read from the source that users' errors come from, so that the
//! list cannot drift.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problems;

/// Where codes get their numbers, relative to the root.
const CODES: &str = "runtime/src/error.rs";

/// Where the pages are, relative to the root.
const PAGES: &str = "docs/errors";

/// Parts that each page has.
const HEADINGS: [&str; 3] = ["## Meaning", "## Example", "## Way out"];

/// Compares the codes with the pages.
pub(crate) fn check(root: &Path) -> Result<Problems> {
    let source = fs::read_to_string(root.join(CODES)).with_context(|| format!("read {CODES}"))?;
    let codes = numbers(&source);
    if codes.is_empty() {
        return Ok(vec![format!("{CODES}: no error numbers found")]);
    }
    let mut problems = Problems::new();
    let mut pages = BTreeSet::new();
    for entry in fs::read_dir(root.join(PAGES)).with_context(|| format!("list {PAGES}"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = name
            .strip_prefix("WEIR-")
            .and_then(|rest| rest.strip_suffix(".md"))
            .and_then(|number| number.parse::<u16>().ok());
        match number {
            Some(number) => {
                pages.insert(number);
                problems.extend(page_problems(&name, number, &fs::read_to_string(&path)?));
            }
            None if name == "README.md" => {}
            None => problems.push(format!("{PAGES}/{name}: not the page of a code")),
        }
    }
    for number in codes.difference(&pages) {
        problems.push(format!("WEIR-{number}: no page {PAGES}/WEIR-{number}.md"));
    }
    for number in pages.difference(&codes) {
        problems.push(format!("{PAGES}/WEIR-{number}.md: no such code in {CODES}"));
    }
    Ok(problems)
}

/// The numbers in the arms `Self::Name => 1001,`.
fn numbers(source: &str) -> BTreeSet<u16> {
    source
        .lines()
        .filter_map(|line| {
            let (_, value) = line.trim().strip_prefix("Self::")?.split_once("=>")?;
            value.trim().strip_suffix(',')?.parse().ok()
        })
        .collect()
}

/// What a page lacks.
fn page_problems(name: &str, number: u16, text: &str) -> Problems {
    let title = format!("# WEIR-{number}: ");
    let mut problems = Problems::new();
    if !text.starts_with(&title) {
        problems.push(format!("{PAGES}/{name}: does not begin with \"{title}\""));
    }
    for heading in HEADINGS {
        if !text.lines().any(|line| line == heading) {
            problems.push(format!("{PAGES}/{name}: no part \"{heading}\""));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_arms_only() {
        let source = "match self {\n    Self::Syntax => 1001,\n    Self::Internal => 9001,\n    Self::Text => \"a\",\n}\nlet x = 7;";
        assert_eq!(numbers(source), BTreeSet::from([1001, 9001]));
    }

    #[test]
    fn a_page_without_its_parts_is_refused() {
        let good = "# WEIR-1001: syntax\n\n## Meaning\n\n## Example\n\n## Way out\n";
        assert_eq!(page_problems("WEIR-1001.md", 1001, good), Problems::new());
        assert_eq!(page_problems("WEIR-1002.md", 1002, good).len(), 1);
        assert_eq!(
            page_problems("WEIR-1001.md", 1001, "# WEIR-1001: x\n").len(),
            3
        );
    }
}
