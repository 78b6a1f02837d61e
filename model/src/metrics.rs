//! The metric catalogue: every metric of both surfaces, declared once as data.
//!
//! Place in the flow: `metrics-exporter` encodes these families, dashboards, rules and references are generated from them, and the
//! Metrics API describes them. Invariant: no other file spells a metric or label name; [`confluent`] follows Confluent's names
//! exactly, [`native`] follows Prometheus's rules.

pub mod confluent;
pub mod labels;
pub mod native;

/// What a series means to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows, until its process or run starts again.
    Counter,
}

impl Kind {
    /// The word of a `# TYPE` line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count of things that the name itself says.
    Count,
    /// Seconds; an instant is seconds since the epoch.
    Seconds,
    /// Milliseconds; only Confluent's surface uses them.
    Milliseconds,
    /// Milliseconds per second; only Confluent's surface uses them.
    MillisecondsPerSecond,
    /// Minutes of one CFU; only Confluent's surface uses them.
    CfuMinutes,
    /// Bytes.
    Bytes,
    /// US dollars.
    Dollars,
}

impl Unit {
    /// The ending of a metric name in this unit, which is also the value of its `# UNIT` line in `OpenMetrics`.
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("seconds"),
            Self::Milliseconds => Some("milliseconds"),
            Self::Bytes => Some("bytes"),
            Self::Dollars => Some("dollars"),
            Self::Count | Self::MillisecondsPerSecond | Self::CfuMinutes => None,
        }
    }

    /// The unit in the notation of Confluent's descriptors.
    ///
    /// # Source
    /// UCUM; Confluent's Metrics API description names `By` as an example.
    pub fn ucum(self) -> &'static str {
        match self {
            Self::Count | Self::Dollars => "1",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::MillisecondsPerSecond => "ms/s",
            Self::CfuMinutes => "min",
            Self::Bytes => "By",
        }
    }
}

/// How Confluent's Metrics API samples a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// An integer at the end of the minute.
    GaugeInt64,
    /// A floating-point number at the end of the minute.
    GaugeDouble,
    /// The increase within one minute, an integer.
    CounterInt64,
    /// The increase within one minute, a floating-point number.
    CounterDouble,
}

impl Sampling {
    /// The type in `/descriptors/metrics`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GaugeInt64 => "GAUGE_INT64",
            Self::GaugeDouble => "GAUGE_DOUBLE",
            Self::CounterInt64 => "COUNTER_INT64",
            Self::CounterDouble => "COUNTER_DOUBLE",
        }
    }

    /// Whether the value is an increase within one minute.
    pub fn is_delta(self) -> bool {
        matches!(self, Self::CounterInt64 | Self::CounterDouble)
    }
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The name in the exposition formats.
    pub name: &'static str,
    /// The field of Confluent's query API; equal to the name for labels that Confluent does not have.
    pub key: &'static str,
}

/// A metric of Confluent's surface. Every one is exposed as a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confluent {
    /// The name in the Metrics API.
    pub name: &'static str,
    /// The name in `/export`.
    pub export_name: &'static str,
    /// How it is sampled.
    pub sampling: Sampling,
    /// Unit.
    pub unit: Unit,
    /// Labels in the order in which they are printed; `table_name` is absent where there is no table.
    pub labels: &'static [Label],
    /// One sentence of help.
    pub help: &'static str,
    /// Whether `/export` has it; the others are for the query API only.
    pub exportable: bool,
}

/// A metric of the native surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Native {
    /// The name of its samples.
    pub name: &'static str,
    /// Flink's metric of the same meaning.
    pub flink_name: Option<&'static str>,
    /// Type.
    pub kind: Kind,
    /// Unit.
    pub unit: Unit,
    /// Labels in the order in which they are printed.
    pub labels: &'static [Label],
    /// One sentence of help.
    pub help: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_metric_name(name: &str) -> bool {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    fn are_labels_valid(labels: &[Label]) -> bool {
        let names: BTreeSet<_> = labels.iter().map(|label| label.name).collect();
        names.len() == labels.len()
            && names
                .iter()
                .all(|name| is_metric_name(name) && !name.starts_with("__"))
    }

    #[test]
    fn confluent_names_follow_from_the_api_names() {
        for metric in confluent::ALL {
            let derived = metric
                .name
                .strip_prefix("io.")
                .unwrap()
                .replace(['.', '/'], "_");
            assert_eq!(metric.export_name, derived);
            assert!(is_metric_name(metric.export_name), "{}", metric.export_name);
            assert!(are_labels_valid(metric.labels), "{}", metric.name);
        }
        for label in [labels::COMPUTE_POOL_ID, labels::FLINK_STATEMENT_NAME] {
            let derived = label
                .key
                .strip_prefix("resource.")
                .unwrap()
                .replace('.', "_");
            assert_eq!(label.name, derived);
        }
    }

    #[test]
    fn native_names_follow_the_rules_of_prometheus() {
        for metric in native::ALL {
            assert!(is_metric_name(metric.name), "{}", metric.name);
            assert!(
                metric.name.starts_with("weir_") || metric.name.starts_with("process_"),
                "{}",
                metric.name
            );
            let base = match metric.kind {
                Kind::Counter => metric.name.strip_suffix("_total").unwrap_or_else(|| {
                    panic!("counter {} does not end in _total", metric.name);
                }),
                Kind::Gauge => {
                    assert!(!metric.name.ends_with("_total"), "{}", metric.name);
                    metric.name
                }
            };
            assert!(
                !matches!(
                    metric.unit,
                    Unit::Milliseconds | Unit::MillisecondsPerSecond | Unit::CfuMinutes
                ),
                "{} is not in a base unit",
                metric.name
            );
            match metric.unit.suffix() {
                Some(suffix) => assert!(base.ends_with(&format!("_{suffix}")), "{}", metric.name),
                None => assert!(
                    ["seconds", "bytes", "dollars"]
                        .iter()
                        .all(|suffix| !base.ends_with(suffix)),
                    "{} hides its unit",
                    metric.name
                ),
            }
            assert!(are_labels_valid(metric.labels), "{}", metric.name);
        }
    }

    #[test]
    fn names_are_unique_and_helped() {
        let mut seen = BTreeSet::new();
        let all = confluent::ALL
            .iter()
            .map(|metric| (metric.export_name, metric.help))
            .chain(native::ALL.iter().map(|metric| (metric.name, metric.help)));
        for (name, help) in all {
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(help.len() > 10 && help.ends_with('.'), "{name}: {help}");
            assert!(!help.contains(['\n', '\\', '"']), "{name}: {help}");
        }
    }

    #[test]
    fn pool_usage_and_limit_divide_without_a_match_clause() {
        assert_eq!(
            confluent::POOL_CURRENT_CFUS.labels,
            confluent::POOL_CFU_LIMIT.labels
        );
    }
}
