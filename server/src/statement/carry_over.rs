//! Going on where another statement stopped: `sql.tables.initial-offset-from`, and offsets chosen by the user.
//!
//! Place in the flow: asked before a statement is started, applied to its plan when its job starts. Pure.
//!
//! # Source
//! Confluent, "Carry-over offsets": the new statement stays PENDING until the reference stops, at most six hours; only statements whose
//! every output depends on a single input; options of tables take precedence; a reference that did not stop gracefully fails it.

use std::time::Duration;

use weir_model::statement::Phase;
use weir_runtime::connector::kafka::topic_of;
use weir_runtime::error::{Error, Result};
use weir_runtime::plan::{Operator, StreamPlan};

use super::properties::is_topic;
use super::record::{CarryOver, InitialOffsets, Kind, Record};

/// The property.
pub(super) const PROPERTY: &str = "sql.tables.initial-offset-from";

/// Properties that say something else about the same thing.
const OTHERS: [&str; 3] = [
    "sql.tables.scan.startup.mode",
    "sql.tables.scan.startup.timestamp-millis",
    "sql.tables.scan.startup.specific-offsets",
];

/// How long the reference may take to stop.
///
/// # Source
/// Confluent: "waits up to 6 hours".
const WAIT_MAX: Duration = Duration::from_hours(6);

/// What is known of the statement to go on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarryOverFact {
    /// There is nothing to wait for.
    Ready,
    /// It has not stopped yet.
    Waiting(String),
    /// It can never be gone on after.
    Lost(String),
}

/// Checks that a statement can go on after another one.
///
/// # Errors
/// `Invalid` for a statement that is not an INSERT, for a plan with state, and when a startup property says something else.
pub(super) fn check(record: &Record, kind: Kind, plan: Option<&StreamPlan>) -> Result<()> {
    if kind != Kind::Background {
        return Err(Error::validation(format!(
            "property '{PROPERTY}': only INSERT and EXECUTE STATEMENT SET can go on after another statement"
        )));
    }
    if let Some(other) = OTHERS
        .iter()
        .find(|key| record.properties.contains_key(**key))
    {
        return Err(Error::option(format!(
            "properties '{PROPERTY}' and '{other}' contradict each other: give one of them"
        )));
    }
    match plan.and_then(stateful_operator) {
        None => Ok(()),
        Some(operator) => Err(Error::validation(format!(
            "property '{PROPERTY}': the statement has state ({operator}), which offsets do not carry over; only filters, projections and unions can go on after another statement"
        ))),
    }
}

/// What keeps a plan from being stateless; absent when every output depends on a single input.
pub(super) fn stateful_operator(plan: &StreamPlan) -> Option<&'static str> {
    plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::WindowAggregate { .. } => Some("a window aggregate"),
        Operator::GroupAggregate { .. } => Some("GROUP BY"),
        Operator::Join { .. } => Some("a join"),
        Operator::TableSourceScan(_)
        | Operator::Values { .. }
        | Operator::Calc { .. }
        | Operator::WindowTableFunction(_)
        | Operator::Union
        | Operator::Expand { .. }
        | Operator::Correlate(_)
        | Operator::ProcessTableFunction(_)
        | Operator::ConstraintEnforcer(_)
        | Operator::Sink(_) => None,
        other => Some(other.name()),
    })
}

/// What is known of the statement to go on after; `reference` is absent when it was deleted.
pub(super) fn look(
    carry_over: Option<&CarryOver>,
    reference: Option<&Record>,
    now_ms: i64,
) -> CarryOverFact {
    let Some(carry_over) = carry_over.filter(|carry_over| !carry_over.is_done) else {
        return CarryOverFact::Ready;
    };
    let name = &carry_over.name;
    let lost =
        |why: &str| CarryOverFact::Lost(format!("cannot go on after statement \"{name}\": {why}"));
    let Some(reference) = reference else {
        return lost("it was deleted");
    };
    match reference.phase {
        Phase::Stopped if reference.latest_offsets_at_ms.is_some() => CarryOverFact::Ready,
        Phase::Stopped => {
            lost("it stopped without a last checkpoint, so its offsets are not known")
        }
        Phase::Failing | Phase::Failed => lost("it failed and did not stop gracefully"),
        Phase::Completed => lost("it has completed"),
        Phase::Deleting => lost("it was deleted"),
        Phase::Pending | Phase::Running | Phase::Degraded | Phase::Stopping => {
            let waited_ms = now_ms.saturating_sub(carry_over.since_ms).max(0);
            if Duration::from_millis(waited_ms.cast_unsigned()) >= WAIT_MAX {
                return lost("it has not stopped for 6 hours");
            }
            CarryOverFact::Waiting(format!(
                "waits until statement \"{name}\" has stopped, to go on at its offsets"
            ))
        }
    }
}

/// The plan with sources that begin at these offsets.
pub(super) fn with_offsets(plan: &StreamPlan, offsets: &InitialOffsets) -> StreamPlan {
    let mut plan = plan.clone();
    if offsets.by_topic.is_empty() {
        return plan;
    }
    for node in &mut plan.nodes {
        let Operator::TableSourceScan(scan) = &mut node.operator else {
            continue;
        };
        let table = &mut scan.table;
        let chosen = table.option("scan.startup.mode");
        let is_free = chosen.is_none_or(|mode| mode == "earliest-offset");
        let Some(text) = offsets
            .by_topic
            .get(topic_of(table))
            .filter(|_| is_topic(table) && (is_free || offsets.overrides_tables))
        else {
            continue;
        };
        let mut set =
            |key: &str, value: &str| table.options.insert(key.to_owned(), value.to_owned());
        set("scan.startup.mode", "specific-offsets");
        set("scan.startup.specific-offsets", text);
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_runtime::plan::{ChangelogMode, LateRows, Node, NodeId, PLAN_VERSION, Scan};
    use weir_runtime::sql::catalog::{ObjectName, TableDef};

    use super::*;
    use crate::statement::testing::record;

    /// A plan of one node.
    fn plan(operator: Operator) -> StreamPlan {
        StreamPlan {
            version: PLAN_VERSION,
            nodes: vec![Node {
                id: NodeId(1),
                operator,
                inputs: Vec::new(),
                schema: Vec::new(),
                changelog: ChangelogMode::Append,
                upsert_key: None,
                rowtime: None,
                state_ttls_ms: Vec::new(),
            }],
            time_zone: "UTC".to_owned(),
        }
    }

    /// A plan that reads topic `t` with these options.
    fn scan(options: &[(&str, &str)]) -> StreamPlan {
        plan(Operator::TableSourceScan(Scan {
            table: TableDef {
                name: ObjectName {
                    catalog: "c".into(),
                    database: "d".into(),
                    name: "t".into(),
                },
                columns: Vec::new(),
                watermark: None,
                primary_key: Vec::new(),
                distributed_by: Vec::new(),
                buckets: None,
                options: options
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
                comment: None,
            },
            read: Vec::new(),
            projections: None,
            watermark: None,
            late: LateRows::default(),
        }))
    }

    /// The startup offsets of a plan's source.
    fn start(plan: &StreamPlan) -> Option<String> {
        let Operator::TableSourceScan(scan) = &plan.nodes[0].operator else {
            panic!("a scan was built")
        };
        let option = scan.table.option("scan.startup.specific-offsets");
        option.map(str::to_owned)
    }

    #[test]
    fn plans_with_state_are_refused() {
        let grouped = plan(Operator::GroupAggregate {
            keys: vec![0],
            aggregates: Vec::new(),
        });
        let mut statement = record("new");
        let error = check(&statement, Kind::Background, Some(&grouped)).unwrap_err();
        assert!(error.message.contains("GROUP BY"), "{error}");
        assert!(check(&statement, Kind::Foreground, Some(&scan(&[]))).is_err());
        assert!(check(&statement, Kind::Background, Some(&scan(&[]))).is_ok());
        statement.properties.insert(
            "sql.tables.scan.startup.mode".to_owned(),
            "latest-offset".to_owned(),
        );
        assert!(check(&statement, Kind::Background, Some(&scan(&[]))).is_err());
    }

    #[test]
    fn the_reference_must_stop_gracefully_in_time() {
        let mut reference = record("old");
        let carry_over = CarryOver {
            name: "old".to_owned(),
            uid: reference.uid.clone(),
            since_ms: 1000,
            is_done: false,
        };
        let at = |reference: Option<&Record>, now_ms| look(Some(&carry_over), reference, now_ms);
        reference.phase = Phase::Running;
        assert!(matches!(
            at(Some(&reference), 2000),
            CarryOverFact::Waiting(_)
        ));
        let late = 1000 + 6 * 3_600_000;
        assert!(matches!(at(Some(&reference), late), CarryOverFact::Lost(_)));
        reference.phase = Phase::Stopped;
        assert!(matches!(at(Some(&reference), 2000), CarryOverFact::Lost(_)));
        reference.latest_offsets_at_ms = Some(1500);
        assert_eq!(at(Some(&reference), late), CarryOverFact::Ready);
        for phase in [Phase::Failed, Phase::Completed, Phase::Deleting] {
            reference.phase = phase;
            assert!(matches!(at(Some(&reference), 2000), CarryOverFact::Lost(_)));
        }
        assert!(matches!(at(None, 2000), CarryOverFact::Lost(_)));
        let done = CarryOver {
            is_done: true,
            ..carry_over.clone()
        };
        assert_eq!(look(Some(&done), None, late), CarryOverFact::Ready);
    }

    #[test]
    fn options_of_tables_take_precedence_unless_overridden() {
        let mut offsets = InitialOffsets {
            by_topic: BTreeMap::from([("t".to_owned(), "partition:0,offset:7".to_owned())]),
            overrides_tables: false,
        };
        let carried = Some("partition:0,offset:7".to_owned());
        assert_eq!(start(&with_offsets(&scan(&[]), &offsets)), carried);
        let default = scan(&[("scan.startup.mode", "earliest-offset")]);
        assert_eq!(start(&with_offsets(&default, &offsets)), carried);
        let chosen = scan(&[("scan.startup.mode", "latest-offset")]);
        assert_eq!(start(&with_offsets(&chosen, &offsets)), None);
        offsets.overrides_tables = true;
        assert_eq!(start(&with_offsets(&chosen, &offsets)), carried);
        let elsewhere = scan(&[("connector", "filesystem")]);
        assert_eq!(start(&with_offsets(&elsewhere, &offsets)), None);
    }
}
