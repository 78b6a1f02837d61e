//! Windows of event time.
//!
//! Place in the flow: aggregations of windows. Invariant: a window holds the times from its start up to its end, which is not in it.

use std::collections::BTreeMap;

use super::aggregate::groups;
use super::rank::partitions;
use crate::expression::Undecided;
use crate::relation::{WindowAggregation, Windowed, Windows};
use crate::value::{Row, Value};

/// Start and end, milliseconds.
type Window = (i64, i64);

/// The groups of each window: keys, the window, aggregates.
pub(super) fn aggregate(spec: &WindowAggregation, rows: Vec<Row>) -> Result<Vec<Row>, Undecided> {
    let windows = windows(spec.windows, spec.time, &spec.groups.keys, rows)?;
    let mut results = Vec::new();
    for ((start, end), rows) in windows {
        let mut ends = vec![Value::Int(start), Value::Int(end)];
        ends.extend(spec.has_time.then_some(Value::Int(end - 1)));
        for (keys, aggregates) in groups(&spec.groups, &rows)? {
            results.push([keys, ends.clone(), aggregates].concat());
        }
    }
    Ok(results)
}

/// Each row with each of its windows.
pub(super) fn rows(spec: &Windowed, rows: Vec<Row>) -> Result<Vec<Row>, Undecided> {
    let mut results = Vec::new();
    for ((start, end), rows) in windows(spec.windows, spec.time, &spec.keys, rows)? {
        let mut ends = vec![Value::Int(start), Value::Int(end)];
        ends.extend(spec.has_time.then_some(Value::Int(end - 1)));
        results.extend(rows.into_iter().map(|row| [row, ends.clone()].concat()));
    }
    Ok(results)
}

/// The rows of each window.
fn windows(
    windows: Windows,
    time: usize,
    keys: &[usize],
    rows: Vec<Row>,
) -> Result<BTreeMap<Window, Vec<Row>>, Undecided> {
    let mut by_window: BTreeMap<Window, Vec<Row>> = BTreeMap::new();
    if let Windows::Session(gap_s) = windows {
        for partition in partitions(rows, keys) {
            for (window, rows) in sessions(partition, time, gap_s * 1000)? {
                by_window.entry(window).or_default().extend(rows);
            }
        }
    } else {
        for row in rows {
            for window in assigned(windows, row[time].int()) {
                by_window.entry(window).or_default().push(row.clone());
            }
        }
    }
    Ok(by_window)
}

/// The windows that a time is in.
fn assigned(windows: Windows, time_ms: i64) -> Vec<Window> {
    let floor = |size_ms: i64| time_ms.div_euclid(size_ms) * size_ms;
    match windows {
        Windows::Tumble(size) => {
            let start = floor(size * 1000);
            vec![(start, start + size * 1000)]
        }
        Windows::Hop(slide, times) => {
            let slide_ms = slide * 1000;
            let starts = (0..times).map(|back| floor(slide_ms) - back * slide_ms);
            starts
                .map(|start| (start, start + times * slide_ms))
                .collect()
        }
        Windows::Cumulate(step, times) => {
            let step_ms = step * 1000;
            let start = floor(step_ms * times);
            let ends = (1..=times).map(|steps| start + steps * step_ms);
            let ends = ends.filter(|end| *end > time_ms);
            ends.map(|end| (start, end)).collect()
        }
        Windows::Session(_) => Vec::new(),
    }
}

/// The sessions of rows of one key. Whether one that begins when another ends belongs to it depends on which of them the watermark sees
/// first, so that there is no right result then.
fn sessions(
    mut rows: Vec<Row>,
    time: usize,
    gap_ms: i64,
) -> Result<Vec<(Window, Vec<Row>)>, Undecided> {
    rows.sort_by_key(|row| row[time].int());
    let mut sessions: Vec<(Window, Vec<Row>)> = Vec::new();
    for row in rows {
        let time_ms = row[time].int();
        match sessions.last_mut() {
            Some((window, _)) if time_ms == window.1 => return Err(Undecided),
            Some((window, rows)) if time_ms < window.1 => {
                window.1 = time_ms + gap_ms;
                rows.push(row);
            }
            _ => sessions.push(((time_ms, time_ms + gap_ms), vec![row])),
        }
    }
    Ok(sessions)
}
