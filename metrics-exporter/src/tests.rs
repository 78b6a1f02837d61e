//! Both surfaces against pages written by hand and read back.
//!
//! Place in the flow: unit tests of the crate. Invariant: every page is read back by [`Page::read`], which refuses what a scraper would.

use proptest::prelude::*;
use weir_model::cfu::MINUTE_MS;
use weir_model::meter::{
    Checkpoints, Direction, ErrorCount, Job, Operator, Pool, Slot, Snapshot, Split, Statement,
    Table,
};
use weir_model::metrics::{confluent as theirs, native as ours};
use weir_model::statement::Phase;

use crate::confluent::{Filter, export};
use crate::native::{self, Limits, SelfMetrics};
use crate::page::Page;
use crate::{History, TextFormat};

const STAMP_MS: i64 = 1_736_948_340_000;

fn statement(name: &str, phase: Phase, job: Option<Job>) -> Statement {
    Statement {
        name: name.into(),
        uid: format!("uid-{name}"),
        pool_id: "lfcp-539kx8".into(),
        phase,
        run: 1,
        slots: u32::from(job.is_some()),
        cfu_millis_total: 3 * MINUTE_MS,
        job,
        restarts_total: 2,
    }
}

fn orders(records_total: u64) -> Table {
    Table {
        name: "env.cluster.orders".into(),
        direction: Direction::Read,
        records_total,
        bytes_total: records_total * 100,
        errors: vec![ErrorCount {
            reason: "MALFORMED_RECORD".into(),
            total: records_total / 10,
        }],
        dead_letters_total: 4,
        pending_records: Some(17),
        watermark_ms: Some(1_736_948_396_647),
        max_lateness_ms: Some(2_500),
    }
}

fn job(tables: Vec<Table>) -> Job {
    Job {
        slots: vec![Slot {
            memory_bytes: 0,
            memory_cap_bytes: None,
            subtask: 0,
            cpu_ns: 1_500_000_000,
            busy_ns: 2_000_000_000,
            idle_ns: 57_000_000_000,
            backpressured_ns: 1_000_000_000,
            memory_bytes: 96 << 20,
            memory_cap_bytes: Some(4 << 30),
        }],
        operators: vec![Operator {
            id: 2,
            name: "StreamCalc [2]".into(),
            parallelism: 1,
            late_records_total: 3,
            ..Operator::default()
        }],
        splits: vec![Split {
            table: "env.cluster.orders".into(),
            partition: 0,
            pending_records: Some(17),
            watermark_ms: Some(i64::MIN),
            is_idle: false,
        }],
        tables,
        checkpoints: Checkpoints {
            completed_total: 6,
            last_duration_ms: Some(12),
            ..Checkpoints::default()
        },
    }
}

fn snapshot(at_ms: i64, records_total: u64) -> Snapshot {
    let results = Table {
        direction: Direction::Written,
        ..Table::default()
    };
    Snapshot {
        at_ms,
        pools: vec![Pool {
            id: "lfcp-539kx8".into(),
            current_cfus: 2,
            cfu_limit: 10,
            cfu_millis_total: 6 * MINUTE_MS + u64::try_from(at_ms).unwrap() * 2,
        }],
        statements: vec![
            statement(
                "select",
                Phase::Running,
                Some(job(vec![orders(records_total), results])),
            ),
            statement("waiting", Phase::Pending, None),
            statement("done", Phase::Completed, None),
        ],
    }
}

fn read_confluent(latest: &Snapshot, minute_ago: Option<&Snapshot>, filter: &Filter) -> Page {
    for format in [TextFormat::Text, TextFormat::OpenMetrics] {
        let page = export(latest, minute_ago, filter, format, Some(STAMP_MS));
        Page::read(&page, format);
    }
    let page = export(latest, minute_ago, filter, TextFormat::Text, None);
    Page::read(&page, TextFormat::Text)
}

#[test]
fn lines_are_those_of_the_real_endpoint() {
    let page = export(
        &snapshot(60_000, 1_122),
        Some(&snapshot(0, 1_000)),
        &Filter::default(),
        TextFormat::Text,
        Some(STAMP_MS),
    );
    let statement = r#"compute_pool_id="lfcp-539kx8",flink_statement_uid="uid-select",flink_statement_name="select","#;
    let table = format!(r#"table_name="env.cluster.orders",{statement}"#);
    for line in [
        format!("confluent_flink_num_records_in{{{table}}} 122.0 {STAMP_MS}"),
        format!("confluent_flink_num_records_out{{{statement}}} 0.0 {STAMP_MS}"),
        format!("confluent_flink_num_records_in_errors{{{table}}} 12.0 {STAMP_MS}"),
        format!("confluent_flink_pending_records{{{table}}} 17.0 {STAMP_MS}"),
        format!(
            "confluent_flink_current_input_watermark_milliseconds{{{table}}} 1.736948396647E12 {STAMP_MS}"
        ),
        format!("confluent_flink_max_input_lateness_milliseconds{{{statement}}} 2500.0 {STAMP_MS}"),
        format!(
            r#"confluent_flink_statement_status{{status="RUNNING",{statement}}} 1.0 {STAMP_MS}"#
        ),
        format!("confluent_flink_statement_utilization_current_cfus{{{statement}}} 1.0 {STAMP_MS}"),
        format!(
            r#"confluent_flink_compute_pool_utilization_current_cfus{{compute_pool_id="lfcp-539kx8",}} 2.0 {STAMP_MS}"#
        ),
        format!(
            r#"confluent_flink_compute_pool_utilization_cfu_limit{{compute_pool_id="lfcp-539kx8",}} 10.0 {STAMP_MS}"#
        ),
        format!(
            r#"confluent_flink_compute_pool_utilization_cfu_minutes_consumed{{compute_pool_id="lfcp-539kx8",}} 2.0 {STAMP_MS}"#
        ),
        "# TYPE confluent_flink_num_records_in gauge".to_owned(),
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "missing: {line}\n{page}"
        );
    }
    assert!(
        !page.contains("output_watermark"),
        "no sink has a watermark"
    );
}

#[test]
fn every_exported_family_appears_when_its_number_is_known() {
    let mut latest = snapshot(60_000, 50);
    let job = latest.statements[0].job.as_mut().unwrap();
    job.tables[1].watermark_ms = Some(5);
    let page = read_confluent(&latest, Some(&snapshot(0, 10)), &Filter::default());
    for metric in theirs::ALL.iter().filter(|metric| metric.exportable) {
        assert!(
            !page.named(metric.export_name).is_empty(),
            "{}",
            metric.export_name
        );
        assert_eq!(page.types[metric.export_name], "gauge");
    }
    let in_catalogue = theirs::ALL
        .iter()
        .filter(|metric| metric.exportable)
        .count();
    assert_eq!(page.types.len(), in_catalogue);
}

#[test]
fn each_statement_has_one_status() {
    let page = read_confluent(&snapshot(0, 1), None, &Filter::default());
    let statuses: Vec<_> = page
        .named(theirs::STATEMENT_STATUS.export_name)
        .iter()
        .map(|sample| sample.labels["status"].clone())
        .collect();
    assert_eq!(statuses, ["RUNNING", "PENDING", "COMPLETED"]);
}

#[test]
fn a_quiet_statement_has_zero_and_a_stopped_one_nothing() {
    let mut quiet = snapshot(0, 0);
    quiet.statements[0].job = Some(job(Vec::new()));
    let page = read_confluent(&quiet, None, &Filter::default());
    let name = theirs::NUM_RECORDS_IN.export_name;
    let by = |statement| page.value(name, ("flink_statement_name", statement));
    assert_eq!(by("select"), Some(0.0));
    assert_eq!(by("waiting"), None);
    assert_eq!(by("done"), None);
}

#[test]
fn deltas_start_again_with_a_run_and_at_the_start() {
    let name = theirs::NUM_RECORDS_IN.export_name;
    let orders = ("table_name", "env.cluster.orders");
    let earlier = snapshot(0, 1_000);
    let mut later = snapshot(60_000, 40);
    later.statements[0].run = 2;
    let page = read_confluent(&later, Some(&earlier), &Filter::default());
    assert_eq!(page.value(name, orders), Some(40.0));
    let page = read_confluent(&earlier, None, &Filter::default());
    assert_eq!(page.value(name, orders), Some(1_000.0));
}

#[test]
fn watermarks_that_were_never_set_are_absent() {
    let mut latest = snapshot(0, 1);
    latest.statements[0].job.as_mut().unwrap().tables[0].watermark_ms = Some(i64::MIN);
    let page = read_confluent(&latest, None, &Filter::default());
    let name = theirs::CURRENT_INPUT_WATERMARK_MILLISECONDS.export_name;
    assert!(page.named(name).is_empty());
}

#[test]
fn filters_narrow_pools_and_metrics() {
    let mut filter = Filter {
        pool_ids: vec!["lfcp-other".into()],
        metrics: Vec::new(),
    };
    assert!(
        read_confluent(&snapshot(0, 1), None, &filter)
            .samples
            .is_empty()
    );
    filter.pool_ids.push("lfcp-539kx8".into());
    filter.metrics = vec![
        "io.confluent.flink/pending_records".into(),
        "confluent_flink_num_records_out".into(),
    ];
    let page = read_confluent(&snapshot(0, 1), None, &filter);
    assert_eq!(page.types.len(), 2);
    assert_eq!(page.samples.len(), 2);
}

#[test]
fn open_metrics_stamps_in_seconds() {
    let text = export(
        &snapshot(0, 1),
        None,
        &Filter::default(),
        TextFormat::OpenMetrics,
        Some(STAMP_MS),
    );
    let page = Page::read(&text, TextFormat::OpenMetrics);
    assert!(
        page.samples
            .iter()
            .all(|sample| sample.stamp.as_deref() == Some("1736948340"))
    );
    assert!(!text.contains(",}"), "OpenMetrics has no last comma");
}

#[test]
fn native_numbers_are_base_units() {
    let text = native::export(&snapshot(9_500, 70), Limits::default(), TextFormat::Text);
    let page = Page::read(&text, TextFormat::Text);
    let select = ("flink_statement_name", "select");
    for (metric, expected) in [
        (ours::STATEMENT_CPU_SECONDS, 1.5),
        (ours::STATEMENT_BUSY_SECONDS, 2.0),
        (ours::STATEMENT_IDLE_SECONDS, 57.0),
        (ours::STATEMENT_BACKPRESSURED_SECONDS, 1.0),
        (ours::STATEMENT_CFU_SECONDS, 180.0),
        (ours::STATEMENT_COST_DOLLARS, 0.0105),
        (ours::STATEMENT_NUM_RESTARTS, 2.0),
        (ours::STATEMENT_LAST_CHECKPOINT_DURATION_SECONDS, 0.012),
        (ours::TABLE_NUM_RECORDS_IN, 70.0),
        (ours::TABLE_MAX_INPUT_LATENESS_SECONDS, 2.5),
        (ours::OPERATOR_NUM_LATE_RECORDS_DROPPED, 3.0),
        (ours::SPLIT_PENDING_RECORDS, 17.0),
    ] {
        assert_eq!(
            page.value(metric.name, select),
            Some(expected),
            "{}",
            metric.name
        );
    }
    let errors = page.value(
        ours::TABLE_NUM_RECORDS_IN_ERRORS.name,
        ("reason", "MALFORMED_RECORD"),
    );
    assert_eq!(errors, Some(7.0));
    assert!(
        page.named(ours::SPLIT_CURRENT_WATERMARK_TIMESTAMP_SECONDS.name)
            .is_empty()
    );
    assert_eq!(page.named(ours::BUILD_INFO.name).len(), 1);
}

#[test]
fn open_metrics_families_name_their_unit() {
    let text = native::export(&snapshot(0, 1), Limits::default(), TextFormat::OpenMetrics);
    let page = Page::read(&text, TextFormat::OpenMetrics);
    assert_eq!(page.types["weir_slot_busy_seconds"], "counter");
    assert_eq!(page.units["weir_slot_busy_seconds"], "seconds");
    for (family, unit) in &page.units {
        assert!(family.ends_with(unit), "{family} {unit}");
    }
    for (family, kind) in &page.types {
        assert!(kind != "counter" || !family.ends_with("_total"), "{family}");
    }
}

#[test]
fn cardinality_is_bounded_and_what_is_left_out_is_counted() {
    let mut latest = snapshot(0, 1);
    let job = latest.statements[0].job.as_mut().unwrap();
    job.splits = (0..1_000)
        .map(|partition| Split {
            table: "t".into(),
            partition,
            pending_records: Some(1),
            ..Split::default()
        })
        .collect();
    let limits = Limits {
        splits_max: 10,
        ..Limits::default()
    };
    let own = SelfMetrics::default();
    let dropped = |limits| {
        let text = native::export_with(&latest, &own, limits, TextFormat::Text);
        let page = Page::read(&text, TextFormat::Text);
        let pending = page.named(ours::SPLIT_PENDING_RECORDS.name).len();
        let dropped = page.named(ours::METRICS_SERIES_DROPPED.name)[0].value;
        (page.samples.len(), pending, dropped)
    };
    let (_, pending, first) = dropped(limits);
    assert_eq!(pending, 10);
    assert!(first >= 990.0);
    assert!(
        dropped(limits).2 >= 2.0 * first,
        "the counter adds over scrapes"
    );
    let narrow = Limits {
        series_max: 5,
        ..limits
    };
    let (series, _, _) = dropped(narrow);
    assert_eq!(series, 5 + 3, "the page's own series are always there");
}

#[test]
fn history_feeds_the_delta() {
    let mut history = History::new(20);
    for tick in 0..=12u64 {
        history.push(snapshot(
            i64::try_from(tick * 5_000).unwrap(),
            1_000 + tick * 10,
        ));
    }
    let latest = history.latest().unwrap();
    let page = read_confluent(&latest, history.minute_ago().as_deref(), &Filter::default());
    let records = page.value(
        theirs::NUM_RECORDS_IN.export_name,
        ("table_name", "env.cluster.orders"),
    );
    assert_eq!(records, Some(120.0));
}

proptest! {
    #[test]
    fn any_name_is_read_back(name in any::<String>(), table in any::<String>()) {
        let mut latest = snapshot(0, 3);
        latest.statements[0].name.clone_from(&name);
        latest.statements[0].job.as_mut().unwrap().tables[0].name.clone_from(&table);
        let page = read_confluent(&latest, None, &Filter::default());
        let found = page.named(theirs::NUM_RECORDS_IN.export_name);
        prop_assert_eq!(&found[0].labels["flink_statement_name"], &name);
        prop_assert_eq!(found[0].labels.get("table_name"), Some(&table).filter(|t| !t.is_empty()));
        let text = native::export(&latest, Limits::default(), TextFormat::OpenMetrics);
        Page::read(&text, TextFormat::OpenMetrics);
    }
}
