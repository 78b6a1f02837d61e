//! A small reader of pages, for tests.
//!
//! Place in the flow: tests read back what the encoder wrote. Invariant: it refuses what `promtool check metrics` and a scrape refuse:
//! samples without a header, groups in two places, equal series, numbers that are none.

use std::collections::{BTreeMap, BTreeSet};

use crate::TextFormat;

/// Labels by name.
pub(crate) type LabelSet = BTreeMap<String, String>;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Name with its suffix.
    pub(crate) name: String,
    /// Labels.
    pub(crate) labels: LabelSet,
    /// Value.
    pub(crate) value: f64,
    /// Timestamp as printed.
    pub(crate) stamp: Option<String>,
}

/// A page read back.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Samples in order.
    pub(crate) samples: Vec<Sample>,
    /// Type of each family.
    pub(crate) types: BTreeMap<String, String>,
    /// Unit of each family that has one.
    pub(crate) units: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page, and panics on what a scraper would refuse.
    pub(crate) fn read(text: &str, format: TextFormat) -> Self {
        let mut page = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        let mut seen = BTreeSet::new();
        assert!(text.is_empty() || text.ends_with('\n'));
        let body = match format {
            TextFormat::Text => text,
            TextFormat::OpenMetrics => text.strip_suffix("# EOF\n").expect("an end marker"),
        };
        for line in body.lines() {
            if let Some(header) = line.strip_prefix("# ") {
                let mut words = header.splitn(3, ' ');
                let word = words.next().unwrap();
                let name = words.next().unwrap().to_owned();
                let rest = words.next().unwrap().to_owned();
                if name != family {
                    assert!(
                        !page.types.contains_key(&name),
                        "{name} stands in two places"
                    );
                    family.clone_from(&name);
                }
                let is_new = match word {
                    "HELP" => helped.insert(name.clone()),
                    "TYPE" => page.types.insert(name.clone(), rest).is_none(),
                    "UNIT" => page.units.insert(name.clone(), rest).is_none(),
                    other => panic!("unknown header {other}"),
                };
                assert!(is_new, "{word} of {name} twice");
                continue;
            }
            let sample = read_sample(line);
            let base = match (format, page.types[&family].as_str()) {
                (TextFormat::OpenMetrics, "counter") => format!("{family}_total"),
                _ => family.clone(),
            };
            assert_eq!(sample.name, base, "a sample outside its family");
            assert!(helped.contains(&family), "{family} has no help");
            assert!(
                seen.insert((sample.name.clone(), sample.labels.clone())),
                "{line} is there twice"
            );
            page.samples.push(sample);
        }
        page
    }

    /// Samples of that name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Sample> {
        self.samples.iter().filter(|s| s.name == name).collect()
    }

    /// The value of the only series of that name with that label.
    pub(crate) fn value(&self, name: &str, label: (&str, &str)) -> Option<f64> {
        let mut found = self
            .named(name)
            .into_iter()
            .filter(|sample| sample.labels.get(label.0).is_some_and(|v| v == label.1));
        let first = found.next()?;
        assert!(found.next().is_none(), "{name}{{{label:?}}} is ambiguous");
        Some(first.value)
    }
}

/// Reads a sample.
fn read_sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = LabelSet::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            let (value, after) = read_value(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let mut words = rest.trim_start().split(' ');
    Sample {
        name: name.to_owned(),
        labels,
        value: words.next().unwrap().parse().expect(line),
        stamp: words.next().map(str::to_owned),
    }
}

/// Reads a label value up to its closing quote.
fn read_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return (value, &text[index + 1..]),
            '\\' => match chars.next().unwrap().1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                other => panic!("unknown escape {other}"),
            },
            other => {
                assert_ne!(other, '\n');
                value.push(other);
            }
        }
    }
    panic!("{text} does not end");
}
