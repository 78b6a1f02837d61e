//! The plans of a case as jobs, and what comes out of them.
//!
//! Place in the flow: feeds each plan the rows of the case's tables, and gives its results as the result files have them. Invariant: every
//! plan reads the same rows in the same order, whatever other statements the case has.

use serde_json::{Value, json};
use weir_runtime::plan::{Column, Operator, StreamPlan};
use weir_runtime::{Batch, Error, Result};

use crate::case::{Case, Output};
use crate::rows::{Encoded, Source};
use crate::value::natural;
use crate::world::{Run, World};

/// Most records of a case that are fed one by one: each takes about a millisecond. A guess.
const STEPS_MAX: usize = 2000;

/// Runs the plans of a case; the outputs of its result.
///
/// # Errors
/// What keeps a plan from running to its end.
pub(crate) fn run(case: &Case) -> Result<Vec<Value>> {
    case.outputs
        .iter()
        .map(|output| {
            let batches = changelog(case, output)?;
            let mut object = output.label.clone();
            object["changelog"] = changes(&batches, &output.columns)?;
            Ok(object)
        })
        .collect()
}

/// All results of a plan.
fn changelog(case: &Case, output: &Output) -> Result<Vec<Batch>> {
    let read: Vec<&Source> = case
        .sources
        .iter()
        .filter(|source| reads(&output.plan, &source.name))
        .collect();
    let world = World::new(&case.sources, &case.registry)?;
    for plan in &case.setup {
        world.start(plan)?.finish()?;
    }
    let before = parts(&read, |source| &source.before);
    if read.iter().all(|source| source.after.is_empty()) {
        let job = feed(&world, &before, &|| world.start(&output.plan))?;
        world.seal()?;
        return job.finish();
    }
    let resume = || world.resume(&output.plan);
    let mut job = feed(&world, &before, &resume)?;
    job.await_quiet()?;
    let mut results = job.stop()?;
    let job = feed(&world, &parts(&read, |source| &source.after), &resume)?;
    world.seal()?;
    results.extend(job.finish()?);
    Ok(results)
}

/// Records of a table.
type Part<'a> = (&'a str, &'a [Encoded]);

/// A part of the records of each table.
fn parts<'a>(sources: &[&'a Source], part: fn(&Source) -> &Vec<Encoded>) -> Vec<Part<'a>> {
    let parts = sources
        .iter()
        .map(|source| (source.name.as_str(), part(source).as_slice()));
    parts.collect()
}

/// A job that has records to read. Where a plan has watermarks, one goes through after each of them.
fn feed<'a>(
    world: &'a World,
    parts: &[Part<'_>],
    start: &dyn Fn() -> Result<Run<'a>>,
) -> Result<Run<'a>> {
    let append = |job: &mut Run<'a>, table: &str, records: &[Encoded]| {
        job.expect(table, records.len());
        world.append(table, records)
    };
    let mut job = start()?;
    let records: usize = parts.iter().map(|(_, records)| records.len()).sum();
    let is_stepwise = has_watermarks(job.plan()) && records <= STEPS_MAX;
    for (table, records) in parts {
        // Tables are read one after the other, also where they meet in processing time.
        for step in records.chunks(if is_stepwise { 1 } else { records.len().max(1) }) {
            append(&mut job, table, step)?;
            job.await_quiet()?;
        }
    }
    Ok(job)
}

/// Whether a plan reads a table.
fn reads(plan: &StreamPlan, table: &str) -> bool {
    let mut operators = plan.nodes.iter().map(|node| &node.operator);
    operators.any(|operator| {
        matches!(operator, Operator::TableSourceScan(scan) if scan.table.name.name == table)
    })
}

/// Whether time goes on in a plan with the records that it reads.
fn has_watermarks(plan: &StreamPlan) -> bool {
    plan.nodes.iter().any(|node| match &node.operator {
        Operator::TableSourceScan(scan) => scan.watermark.is_some(),
        _ => false,
    })
}

/// Rows with their kinds.
fn changes(batches: &[Batch], columns: &[Column]) -> Result<Value> {
    let mut changes = Vec::new();
    for batch in batches {
        if batch.columns.len() != columns.len() {
            return Err(Error::internal(
                "the results have other columns than the plan",
            ));
        }
        for row in 0..batch.rows {
            let values = batch.columns.iter().zip(columns);
            let values = values.map(|(values, column)| natural(values, row, &column.ty));
            let values = values.collect::<Result<Vec<Value>>>()?;
            changes.push(json!([batch.kind(row).short_name(), values]));
        }
    }
    Ok(Value::Array(changes))
}
