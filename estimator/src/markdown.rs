//! An estimate as a page for people.
//!
//! Place in the flow: `weir estimate` prints it. Invariant: every number of it is in the estimate.

use std::fmt::Write;

use crate::estimate::Estimate;

/// Writes an estimate as Markdown.
pub fn to_markdown(estimate: &Estimate) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    write_page(&mut page, estimate).unwrap_or_default();
    page
}

/// Writes the page.
fn write_page(out: &mut String, estimate: &Estimate) -> std::fmt::Result {
    let workload = &estimate.workload;
    writeln!(
        out,
        "# Estimate\n\n{} records/s of {} bytes, {}, {} keys, latency {}\n",
        workload.records_per_second,
        workload.record_bytes,
        workload.class.as_str(),
        workload.distinct_keys,
        workload.latency_tier
    )?;
    writeln!(out, "| | P50 | P80 | P95 |\n|---|---:|---:|---:|")?;
    let cores = estimate.cores;
    writeln!(
        out,
        "| Cores | {:.2} | {:.2} | {:.2} |",
        cores.p50, cores.p80, cores.p95
    )?;
    let cfus = estimate.cfus;
    writeln!(out, "| CFUs | {} | {} | {} |", cfus.p50, cfus.p80, cfus.p95)?;
    let minutes = estimate.cfu_minutes_per_month;
    writeln!(
        out,
        "| CFU-minutes per month | {} | {} | {} |",
        minutes.p50, minutes.p80, minutes.p95
    )?;
    let cost = estimate.cost_per_month_dollars;
    writeln!(
        out,
        "| Cost per month | ${:.2} | ${:.2} | ${:.2} |\n",
        cost.p50, cost.p80, cost.p95
    )?;
    write_advice(out, estimate)?;
    writeln!(
        out,
        "\nProfile {}: {}. Seed {}, {} draws.",
        estimate.profile, estimate.provenance, estimate.seed, estimate.draws
    )
}

/// Writes limits, settings and what to measure.
fn write_advice(out: &mut String, estimate: &Estimate) -> std::fmt::Result {
    let limit = &estimate.binding_constraint;
    writeln!(out, "- Binding constraint: {}", limit.detail)?;
    for limit in &estimate.next_constraints {
        writeln!(
            out,
            "- Then: {} ({:.0} % used)",
            limit.detail,
            limit.used * 100.0
        )?;
    }
    writeln!(
        out,
        "- Recommended `max_cfu`: {}",
        estimate.recommended_max_cfu
    )?;
    if let Some(nodes) = estimate.nodes {
        let memory = nodes.memory_bytes >> 30;
        writeln!(
            out,
            "- Nodes: {} of {} cores and {memory} GiB",
            nodes.count, nodes.cores
        )?;
    }
    let (state, memory) = (
        mebibytes(estimate.state_bytes),
        mebibytes(estimate.memory_bytes),
    );
    writeln!(out, "- State: {state:.1} MiB; memory: {memory:.1} MiB")?;
    writeln!(
        out,
        "- Checkpoint interval: {:.0} s",
        estimate.checkpoint_interval_seconds
    )?;
    writeln!(
        out,
        "- Utilisation target: {:.0} %",
        estimate.utilisation_target * 100.0
    )?;
    if estimate.probability_sustainable < 1.0 {
        let share = estimate.probability_sustainable * 100.0;
        writeln!(
            out,
            "- **Only {share:.1} % of the draws can be sustained by any number of CFUs**"
        )?;
    }
    for next in &estimate.measure_next {
        writeln!(
            out,
            "- Measure next: {} (up to {:.1}x)",
            next.what, next.factor
        )?;
    }
    Ok(())
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "only for reading")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
