//! What every file of the repository must keep to.
//!
//! Place in the flow: a step of `check`. Invariant: it reads what is in the working tree, tracked or not, apart from build output.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problems;

/// Folders that hold no source.
const SKIPPED: [&str; 3] = ["target", ".git", "weir-data"];

/// The one file that names the registry, because cargo writes it.
const LOCK_FILE: &str = "Cargo.lock";

/// Lines without tests from which a file must say why it is one.
///
/// # Source
/// CONTRIBUTING.md, "Shape of the code".
const LINES_MAX: usize = 600;

/// What a header line starts with that justifies a longer file.
const LENGTH_REASON: &str = "//! Length:";

/// Text that must not be in any file, and what is wrong with it. Split so that this file passes.
const FORBIDDEN: [(&str, &str); 8] = [
    (
        concat!("/wo", "rk/"),
        "an absolute path of somebody's machine",
    ),
    (
        concat!("/ro", "ot/"),
        "an absolute path of somebody's machine",
    ),
    (concat!("../sha", "red"), "a path outside of the repository"),
    (concat!("crates", ".io"), "a registry host"),
    (concat!("repo1.mav", "en.org"), "a registry host"),
    (concat!("repo.maven.apa", "che.org"), "a registry host"),
    (concat!("py", "pi.org"), "a registry host"),
    (concat!("deb.deb", "ian.org"), "a registry host"),
];

/// Rust text that must not be in any Rust file.
const FORBIDDEN_RUST: [(&str, &str); 3] = [
    (
        concat!("#[ign", "ore"),
        "an ignored test: assert today's behaviour with a reason",
    ),
    (concat!("tod", "o!("), "unfinished code"),
    (concat!("unimplem", "ented!("), "unfinished code"),
];

/// Words that need the number of an issue beside them.
const MARKERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Checks every file below the root.
pub(crate) fn check(root: &Path) -> Result<Problems> {
    let mut problems = Problems::new();
    walk(root, root, &mut problems)?;
    Ok(problems)
}

/// Checks a folder and what is in it.
fn walk(root: &Path, folder: &Path, problems: &mut Problems) -> Result<()> {
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("list {}", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if SKIPPED.contains(&name.as_str()) || name == LOCK_FILE {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, problems)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            problems.extend(file_problems(&shown.to_string(), &text));
            if let Some(warning) = length_warning(&text).filter(|_| is_rust(&path)) {
                println!("warning: {shown}: {warning}");
            }
        }
    }
    Ok(())
}

/// What is wrong with a text file.
fn file_problems(name: &str, text: &str) -> Problems {
    let is_rust = is_rust(Path::new(name));
    let mut problems = Problems::new();
    if is_rust && !text.starts_with("//!") {
        problems.push(format!(
            "{name}:1: the first line is not \"//!\" with the file's purpose"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let rust: &[(&str, &str)] = if is_rust { &FORBIDDEN_RUST } else { &[] };
        for (needle, what) in FORBIDDEN.iter().chain(rust) {
            if contains_at_border(line, needle) {
                problems.push(format!("{name}:{}: {needle}: {what}", index + 1));
            }
        }
        if is_rust
            && MARKERS
                .iter()
                .any(|marker| contains_at_border(line, marker))
            && !has_issue(line)
        {
            problems.push(format!(
                "{name}:{}: a marker without the number of an issue",
                index + 1
            ));
        }
    }
    problems
}

/// Whether a file is Rust source.
fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Whether a line contains the needle where no word or path runs into it.
fn contains_at_border(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | '-' | '.'))
    })
}

/// Whether a line names an issue, such as `#12`.
fn has_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// What to say about a file's length, if it is too long and does not say why.
fn length_warning(text: &str) -> Option<String> {
    let lines = text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count();
    let is_justified = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.starts_with(LENGTH_REASON));
    (lines > LINES_MAX && !is_justified).then(|| {
        format!("{lines} lines without tests; split it or say why after \"{LENGTH_REASON}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_header_is_refused() {
        assert_eq!(file_problems("a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(
            file_problems("a.rs", "//! Purpose.\nfn main() {}\n"),
            Problems::new()
        );
        assert_eq!(file_problems("a.md", "text\n"), Problems::new());
    }

    #[test]
    fn ignored_tests_and_unfinished_code_are_refused() {
        let text = format!(
            "//! x\n{}]\nfn f() {{ {}) }}\n",
            FORBIDDEN_RUST[0].0, FORBIDDEN_RUST[1].0
        );
        assert_eq!(file_problems("a.rs", &text).len(), 2);
    }

    #[test]
    fn a_marker_needs_an_issue() {
        let with = format!("//! x\n// {} #12: later\n", MARKERS[0]);
        let without = format!("//! x\n// {}: later\n", MARKERS[0]);
        assert_eq!(file_problems("a.rs", &with), Problems::new());
        assert_eq!(file_problems("a.rs", &without).len(), 1);
    }

    #[test]
    fn absolute_paths_are_refused_and_relative_ones_are_not() {
        let path = FORBIDDEN[0].0;
        assert_eq!(file_problems("a.md", &format!("see {path}x")).len(), 1);
        assert_eq!(
            file_problems("a.md", &format!("see target{path}x")),
            Problems::new()
        );
    }

    #[test]
    fn a_long_file_is_reported_unless_it_says_why() {
        let long = format!("//! x\n{}", "fn f() {}\n".repeat(LINES_MAX));
        assert!(length_warning(&long).is_some());
        assert!(length_warning(&format!("{LENGTH_REASON} one table.\n{long}")).is_none());
        let tests = format!("//! x\n#[cfg(test)]\n{}", "fn f() {}\n".repeat(LINES_MAX));
        assert!(length_warning(&tests).is_none());
    }
}
