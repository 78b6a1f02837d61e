//! What the properties of a statement change about its plan and its job.
//!
//! Place in the flow: called when a statement is planned and when its job starts. Invariant: a property that is accepted is carried
//! out or has no effect on results; one that would silently change results is refused.

use std::time::Duration;

use weir_runtime::error::{Error, Result};
use weir_runtime::plan::{Operator, StreamPlan};
use weir_runtime::sql::catalog::TableDef;
use weir_runtime::sql::session::{Session, check_property, parse_duration};
use weir_runtime::task::{DeliveryGuarantee, IdleTimeout, JobConfig};

use super::record::Traits;
use super::restart::RestartPolicy;

/// Properties with the slots of a background statement, the first one that is set counts; Flink's names.
const PARALLELISM: [&str; 2] = [
    "parallelism.default",
    "table.exec.resource.default-parallelism",
];

/// Properties with the idle time-out of sources, the first one that is set counts.
const IDLE_TIMEOUT: [&str; 2] = [
    "sql.tables.scan.idle-timeout",
    "table.exec.source.idle-timeout",
];

/// The shortest time between two checkpoints (guess: below it a job would do little else).
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Scan options that properties set for every table: property, option, and the option's default.
///
/// # Source
/// Confluent: "not applied if the table uses a value that differs from the default value".
const SCAN: [(&str, &str, &str); 5] = [
    (
        "sql.tables.scan.startup.mode",
        "scan.startup.mode",
        "earliest-offset",
    ),
    (
        "sql.tables.scan.startup.timestamp-millis",
        "scan.startup.timestamp-millis",
        "",
    ),
    (
        "sql.tables.scan.startup.specific-offsets",
        "scan.startup.specific-offsets",
        "",
    ),
    (
        "sql.tables.scan.bounded.mode",
        "scan.bounded.mode",
        "unbounded",
    ),
    (
        "sql.tables.scan.bounded.timestamp-millis",
        "scan.bounded.timestamp-millis",
        "",
    ),
];

/// Values of properties that mean nothing without another property: property, value, and the other one.
const NEEDS: [(&str, &str, &str); 3] = [
    (
        "sql.tables.scan.startup.mode",
        "timestamp",
        "sql.tables.scan.startup.timestamp-millis",
    ),
    (
        "sql.tables.scan.startup.mode",
        "specific-offsets",
        "sql.tables.scan.startup.specific-offsets",
    ),
    (
        "sql.tables.scan.bounded.mode",
        "timestamp",
        "sql.tables.scan.bounded.timestamp-millis",
    ),
];

/// Checks keys and values.
///
/// # Errors
/// `Invalid` for a property that does not exist or a value that it does not take; `Unsupported` for one that this version cannot
/// carry out.
pub(super) fn check(session: &Session) -> Result<()> {
    for (key, value) in &session.properties {
        if !RestartPolicy::owns(key) {
            check_property(key, value)?;
        }
    }
    RestartPolicy::of(session)?;
    for (property, value, other) in NEEDS {
        let is_so = session
            .get(property)
            .is_some_and(|set| set.eq_ignore_ascii_case(value));
        if is_so && session.get(other).is_none() {
            return Err(Error::option(format!(
                "property '{property}' is '{value}' and needs the property '{other}'"
            )));
        }
    }
    Ok(())
}

/// The slots asked for.
///
/// # Errors
/// `Invalid` when the number is not at least 1.
pub(super) fn parallelism(session: &Session) -> Result<u32> {
    let Some((key, text)) = first(session, &PARALLELISM) else {
        return Ok(1);
    };
    text.trim()
        .parse()
        .ok()
        .filter(|slots| *slots > 0)
        .ok_or_else(|| {
            Error::option(format!(
                "property '{key}' is '{text}', a number of at least 1 is needed"
            ))
        })
}

/// Gives every scan of a topic what the properties say.
pub(super) fn apply(session: &Session, plan: &mut StreamPlan, traits: &mut Traits) {
    let is_snapshot = session
        .get("sql.snapshot.mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("now"));
    let mut is_bounded = true;
    for node in &mut plan.nodes {
        let Operator::TableSourceScan(scan) = &mut node.operator else {
            continue;
        };
        if !is_topic(&scan.table) {
            is_bounded &= traits.is_bounded;
            continue;
        }
        for (property, option, default) in SCAN {
            if let Some(value) = session.get(property) {
                set_default(&mut scan.table, option, default, value);
            }
        }
        if is_snapshot {
            set_default(
                &mut scan.table,
                "scan.bounded.mode",
                "unbounded",
                "latest-offset",
            );
        }
        let mode = scan.table.option("scan.bounded.mode");
        is_bounded &= mode.is_some_and(|mode| mode != "unbounded");
    }
    traits.is_bounded |= is_bounded;
}

/// The settings of a statement's job: those of the server, changed by its properties.
pub(super) fn job_config(session: &Session, server: &JobConfig) -> JobConfig {
    let mut config = server.clone();
    let interval = session.get("execution.checkpointing.interval");
    if let Some(interval) = interval.and_then(parse_duration) {
        config.checkpoint_interval = interval.max(CHECKPOINT_INTERVAL_MIN);
    }
    let timeout = session.get("execution.checkpointing.timeout");
    if let Some(timeout) = timeout.and_then(parse_duration) {
        config.checkpoint_timeout = timeout;
    }
    let pause = session.get("execution.checkpointing.min-pause");
    if let Some(pause) = pause.and_then(parse_duration) {
        config.checkpoint_min_pause = pause;
    }
    let retained = session.get("execution.checkpointing.num-retained");
    if let Some(retained) = retained.and_then(|count| count.trim().parse().ok()) {
        config.retained_checkpoints = retained;
    }
    let failures = session.get("execution.checkpointing.tolerable-failed-checkpoints");
    if let Some(failures) = failures.and_then(|count| count.trim().parse().ok()) {
        config.tolerable_failed_checkpoints = failures;
    }
    if let Some(mode) = session.get("execution.checkpointing.mode") {
        config.delivery = if mode.eq_ignore_ascii_case("AT_LEAST_ONCE") {
            DeliveryGuarantee::AtLeastOnce
        } else {
            DeliveryGuarantee::ExactlyOnce
        };
    }
    if let Some(ttl) = session.state_ttl() {
        config.state_ttl = Some(ttl);
    }
    if let Some(timeout) = first(session, &IDLE_TIMEOUT).and_then(|(_, text)| parse_duration(text))
    {
        config.idle_timeout = if timeout.is_zero() {
            IdleTimeout::Disabled
        } else {
            IdleTimeout::Fixed(timeout)
        };
    }
    let drift = session.get("sql.tables.scan.watermark-alignment.max-allowed-drift");
    if let Some(drift) = drift.and_then(parse_duration) {
        config.watermark_drift = (!drift.is_zero()).then_some(drift);
    }
    let share = session
        .get("weir.cfu-cpu-share")
        .and_then(|share| share.trim().parse::<f64>().ok());
    if let Some(share) = share.filter(|share| *share > 0.0 && *share <= 1.0) {
        config.cfu_cpu_share = share;
    }
    config
}

/// The first of some properties that is set.
fn first<'s>(session: &'s Session, keys: &[&'static str]) -> Option<(&'static str, &'s str)> {
    keys.iter()
        .find_map(|key| session.get(key).map(|value| (*key, value)))
}

/// Whether a table's records are in a topic.
pub(super) fn is_topic(table: &TableDef) -> bool {
    matches!(
        table.option("connector").unwrap_or("confluent"),
        "confluent" | "kafka" | "upsert-kafka"
    )
}

/// Sets an option unless the table itself chose a value.
fn set_default(table: &mut TableDef, option: &str, default: &str, value: &str) {
    if table.option(option).is_none_or(|chosen| chosen == default) {
        table.options.insert(option.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session with these properties.
    fn session(properties: &[(&str, &str)]) -> Session {
        Session {
            properties: properties
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn slots_are_a_positive_number() {
        assert_eq!(parallelism(&session(&[])).unwrap(), 1);
        assert_eq!(
            parallelism(&session(&[("parallelism.default", " 3 ")])).unwrap(),
            3
        );
        for wrong in ["0", "-1", "many", "1.5"] {
            let error = parallelism(&session(&[("parallelism.default", wrong)])).unwrap_err();
            assert!(error.message.contains("parallelism.default"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        for (key, value) in [
            ("restart-strategy.exponential-delay.max-backoff", "soon"),
            ("table.exec.sink.not-null-enforcer", "trim_pad"),
            ("sql.state-tll", "0"),
            ("sql.tables.scan.startup.mode", "timestamp"),
            ("sql.tables.scan.bounded.mode", "TIMESTAMP"),
        ] {
            assert!(check(&session(&[(key, value)])).is_err(), "{key}");
        }
        assert!(check(&session(&[("sql.state-ttl", "0 ms")])).is_ok());
    }

    #[test]
    fn jobs_take_their_settings_from_properties() {
        let server = JobConfig::default();
        let config = job_config(
            &session(&[
                ("execution.checkpointing.interval", "1 s"),
                ("execution.checkpointing.mode", "AT_LEAST_ONCE"),
                ("sql.state-ttl", "1 h"),
                ("sql.tables.scan.idle-timeout", "0"),
                ("weir.cfu-cpu-share", "0.5"),
            ]),
            &server,
        );
        assert_eq!(config.checkpoint_interval, Duration::from_secs(1));
        assert_eq!(config.delivery, DeliveryGuarantee::AtLeastOnce);
        assert_eq!(config.state_ttl, Some(Duration::from_hours(1)));
        assert_eq!(config.idle_timeout, IdleTimeout::Disabled);
        assert!((config.cfu_cpu_share - 0.5).abs() < f64::EPSILON);
        assert_eq!(job_config(&session(&[]), &server), server);
    }
}
