//! Estimates and calibration as a whole.
//!
//! Place in the flow: unit tests of the crate. Invariant: numbers expected here were reckoned by hand from the stated rules.

use weir_model::meter::{Direction, Job, Slot, Statement, Table};
use weir_model::statement::Phase;
use weir_model::workload::StatementClass;

use crate::{
    ConstraintKind, Estimate, EstimateOptions, LatencyTier, Observation, Profile, Workload,
    calibrate, estimate, explain, to_markdown,
};

const OPTIONS: EstimateOptions = EstimateOptions {
    seed: 42,
    draws: 4_000,
};

fn stateless(records_per_second: f64) -> Workload {
    let class = StatementClass::Stateless;
    Workload::new(records_per_second, 200.0, class, 1, LatencyTier::Relaxed)
}

fn keyed(records_per_second: f64, distinct_keys: u64) -> Workload {
    Workload {
        class: StatementClass::WindowAggregate,
        distinct_keys,
        ..stateless(records_per_second)
    }
}

fn by_guide(workload: &Workload) -> Estimate {
    estimate(workload, &Profile::guide(), OPTIONS).unwrap()
}

fn by_prior(workload: &Workload) -> Estimate {
    estimate(workload, &Profile::weir_prior(), OPTIONS).unwrap()
}

#[test]
fn the_guide_is_reproduced() {
    for (tier, cores, cfus, interval) in [
        (LatencyTier::Sub500Ms, 15.0, 15, 10.0),
        (LatencyTier::Sub1S, 12.0, 12, 30.0),
        (LatencyTier::Sub5S, 11.0, 11, 60.0),
        (LatencyTier::Relaxed, 10.0, 10, 60.0),
    ] {
        let workload = Workload {
            latency_tier: tier,
            ..stateless(100_000.0)
        };
        let found = by_guide(&workload);
        assert!((found.cores.p50 - cores).abs() < 1e-6, "{:?}", found.cores);
        assert_eq!([found.cfus.p50, found.cfus.p95], [cfus, cfus]);
        assert!((found.checkpoint_interval_seconds - interval).abs() < 1e-9);
        let nodes = found.nodes.unwrap();
        assert_eq!(
            (nodes.count, nodes.cores, nodes.memory_bytes),
            (cfus.div_ceil(4), 4, 16 << 30)
        );
    }
    assert_eq!(by_guide(&stateless(10.0)).nodes.unwrap().count, 3);
}

#[test]
fn a_month_of_one_cfu_is_720_hours() {
    let found = by_guide(&stateless(1.0));
    assert_eq!(found.cfus.p95, 1);
    assert_eq!(found.cfu_minutes_per_month.p50, 43_200);
    assert!((found.cost_per_month_dollars.p50 - 151.2).abs() < 1e-9);
    assert_eq!(found.recommended_max_cfu, 5);
}

#[test]
fn a_seed_gives_the_same_bits() {
    let workload = keyed(1e6, 10_000);
    let json = |found: &Estimate| serde_json::to_string(found).unwrap();
    assert_eq!(json(&by_prior(&workload)), json(&by_prior(&workload)));
    let other = EstimateOptions {
        seed: 43,
        ..OPTIONS
    };
    let other = estimate(&workload, &Profile::weir_prior(), other).unwrap();
    assert_ne!(json(&by_prior(&workload)), json(&other));
}

#[test]
fn more_load_never_needs_less_and_quantiles_are_ordered() {
    for class in StatementClass::ALL {
        for tier in LatencyTier::ALL {
            let mut before: Option<Estimate> = None;
            for exponent in 2..9 {
                let workload = Workload {
                    class,
                    latency_tier: tier,
                    zipf_exponent: 0.6,
                    ..keyed(10f64.powi(exponent), 50_000)
                };
                let options = EstimateOptions {
                    seed: 1,
                    draws: 500,
                };
                let found = estimate(&workload, &Profile::weir_prior(), options).unwrap();
                let cores = found.cores;
                assert!(cores.p50 <= cores.p80 && cores.p80 <= cores.p95);
                let cfus = found.cfus;
                assert!(1 <= cfus.p50 && cfus.p50 <= cfus.p80 && cfus.p80 <= cfus.p95);
                assert!(found.recommended_max_cfu >= cfus.p95);
                assert!(found.binding_constraint.used >= found.next_constraints[0].used);
                if let Some(before) = before {
                    assert!(before.cores.p80 < cores.p80);
                    assert!(before.cfus.p80 <= cfus.p80 && before.cfus.p95 <= cfus.p95);
                    assert!(before.probability_sustainable >= found.probability_sustainable);
                }
                before = Some(found);
            }
        }
    }
}

#[test]
fn the_binding_constraint_is_named() {
    let one_key = by_guide(&keyed(100_000.0, 1));
    assert_eq!(one_key.cfus.p95, 1, "one key is one subtask");
    assert!(one_key.binding_constraint.used > 9.0);
    assert!(one_key.probability_sustainable.abs() < 1e-9);
    let skewed = Workload {
        zipf_exponent: 2.0,
        ..keyed(100_000.0, 1_000_000)
    };
    assert!(
        by_guide(&skewed)
            .next_constraints
            .iter()
            .chain([&by_guide(&skewed).binding_constraint])
            .any(|found| found.kind == ConstraintKind::HotKey && found.used > 6.0)
    );
    let narrow = Workload {
        partitions: Some(4),
        ..stateless(100_000.0)
    };
    let found = by_guide(&narrow);
    assert_eq!(found.cfus.p50, 4);
    assert!((found.binding_constraint.used - 2.5).abs() < 1e-6);
    assert_eq!(
        by_guide(&stateless(1e4)).binding_constraint.kind,
        ConstraintKind::Cpu
    );
    assert_eq!(
        by_guide(&stateless(1e6)).binding_constraint.kind,
        ConstraintKind::StatementLimit
    );
}

#[test]
fn skew_needs_more() {
    let even = by_guide(&keyed(50_000.0, 100_000));
    let skewed = by_guide(&Workload {
        zipf_exponent: 0.9,
        ..keyed(50_000.0, 100_000)
    });
    assert!(even.cfus.p50 < skewed.cfus.p50);
}

#[test]
fn invalid_inputs_are_refused() {
    assert!(estimate(&stateless(0.0), &Profile::guide(), OPTIONS).is_err());
    let none = EstimateOptions { seed: 1, draws: 0 };
    assert!(estimate(&stateless(1.0), &Profile::guide(), none).is_err());
    let mut lacking = Profile::guide();
    lacking.classes.clear();
    assert!(estimate(&stateless(1.0), &lacking, OPTIONS).is_err());
    assert!(explain(&stateless(f64::NAN), &Profile::guide()).is_empty());
}

#[test]
fn the_explanation_ends_where_the_estimate_does() {
    let workload = stateless(100_000.0);
    let steps = explain(&workload, &Profile::guide());
    let value = |name| steps.iter().find(|step| step.name == name).unwrap().value;
    let found = by_guide(&workload);
    assert!((value("cores") - found.cores.p50).abs() < 1e-9);
    assert!((value("CFUs") - f64::from(found.cfus.p50)).abs() < 1e-9);
    assert!(
        steps
            .iter()
            .all(|step| !step.source.is_empty() && !step.formula.is_empty())
    );
    let page = to_markdown(&found);
    assert!(page.contains("| CFUs | 10 | 10 | 10 |"), "{page}");
    assert!(page.contains("Binding constraint"), "{page}");
}

fn statement(records_total: u64, cpu_ns: u64, busy_ns: u64) -> Statement {
    let orders = Table {
        name: "orders".into(),
        direction: Direction::Read,
        records_total,
        bytes_total: records_total * 200,
        pending_records: Some(0),
        ..Table::default()
    };
    let slot = Slot {
        cpu_ns,
        busy_ns,
        ..Slot::default()
    };
    Statement {
        name: "s".into(),
        uid: "u".into(),
        pool_id: "lfcp-1".into(),
        phase: Phase::Running,
        run: 1,
        slots: 1,
        cfu_millis_total: 0,
        job: Some(Job {
            slots: vec![slot],
            tables: vec![orders],
            ..Job::default()
        }),
        restarts_total: 0,
    }
}

/// A second in which a statement reads so many records and works for so many nanoseconds.
fn observed(records: u64, cpu_ns: u64, busy_ns: u64) -> Observation {
    let (earlier, later) = (
        statement(10, 5, 5),
        statement(10 + records, 5 + cpu_ns, 5 + busy_ns),
    );
    Observation::between(&earlier, &later, 1_000, StatementClass::Stateless).unwrap()
}

#[test]
fn an_observation_is_a_difference_within_one_run() {
    let found = observed(100_000, 400_000_000, 500_000_000);
    assert_eq!(
        (found.records, found.bytes, found.slots),
        (100_000, 20_000_000, 1)
    );
    assert!((found.cpu_seconds - 0.4).abs() < 1e-12 && (found.busy_seconds - 0.5).abs() < 1e-12);
    assert!(!found.is_saturated());
    let (earlier, mut later) = (statement(1, 1, 1), statement(2, 2, 2));
    later.run = 2;
    let class = StatementClass::Stateless;
    assert_eq!(Observation::between(&earlier, &later, 1_000, class), None);
    later.run = 1;
    assert_eq!(Observation::between(&earlier, &later, 0, class), None);
    later.job = None;
    assert_eq!(Observation::between(&earlier, &later, 1_000, class), None);
}

#[test]
fn calibration_narrows_and_moves_towards_what_was_measured() {
    let prior = Profile::weir_prior();
    let point = observed(200_000, 800_000_000, 960_000_000);
    let calibrated = calibrate(&vec![point; 20], &prior);
    assert_eq!((calibrated.used.len(), calibrated.refused.len()), (20, 0));
    let class = StatementClass::Stateless;
    let (before, after) = (prior.classes[&class], calibrated.profile.classes[&class]);
    assert!(after.sigma < before.sigma / 2.0, "{after:?}");
    assert!((after.weight - 21.0).abs() < 1e-12);
    assert!((after.slot_seconds_per_cpu_second - 1.25).abs() < 1e-9);
    // 4 microseconds a record of 200 bytes were measured; 1 was believed, with the weight of one point.
    let seconds = after.seconds(200.0, 0.0);
    assert!((seconds / 4e-6 - 1.0).abs() < 0.07, "{seconds}");
    let spread = |profile: &Profile| {
        let found = estimate(&stateless(1e6), profile, OPTIONS).unwrap();
        found.cores.p95 / found.cores.p50
    };
    assert!(spread(&calibrated.profile) < spread(&prior) / 1.5);
    assert_eq!(
        prior.classes[&StatementClass::Join],
        calibrated.profile.classes[&StatementClass::Join]
    );
    assert!(calibrated.profile.to_json().is_ok());
}

#[test]
fn points_that_cannot_teach_are_refused() {
    let few = observed(999, 1_000_000, 1_000_000);
    let idle = observed(5_000, 0, 0);
    let calibrated = calibrate(&[few, idle], &Profile::weir_prior());
    assert_eq!(calibrated.profile, Profile::weir_prior());
    let reasons: Vec<_> = calibrated
        .refused
        .iter()
        .map(|(_, reason)| reason)
        .collect();
    assert!(
        reasons[0].contains("too few") && reasons[1].contains("no CPU"),
        "{reasons:?}"
    );
}

#[test]
fn capacity_is_learnt_from_saturated_points_only() {
    let prior = Profile::weir_prior();
    let class = StatementClass::Stateless;
    let unsaturated = calibrate(&[observed(50_000, 100_000_000, 200_000_000)], &prior);
    assert!(!unsaturated.used[0].is_saturated);
    let ratio = unsaturated.profile.classes[&class].slot_seconds_per_cpu_second;
    assert!((ratio - 1.0).abs() < 1e-12);
    let mut waiting = observed(50_000, 500_000_000, 600_000_000);
    waiting.pending_records = Some(9);
    assert!(!waiting.is_saturated(), "records in flight are no backlog");
    waiting.pending_records = Some(50_000);
    let saturated = calibrate(&[waiting], &prior);
    assert!(saturated.used[0].is_saturated);
    let ratio = saturated.profile.classes[&class].slot_seconds_per_cpu_second;
    assert!((ratio - 2.0).abs() < 1e-12);
}
