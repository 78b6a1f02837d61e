//! What is known of the columns of a node: time attributes, windows, keys.
//!
//! Place in the flow: each node gets its traits when it is made, from those of its inputs; recognising windows, interval joins,
//! ranks and upsert keys rests on them. Invariant: a trait is only there when it holds for every row.

use std::collections::BTreeSet;

use super::relation::{WINDOW_END, WINDOW_START, WINDOW_TIME};
use crate::plan::{TimeDomain, Window, WindowKind};
use crate::sql::expr::{Expr, ExprKind};
use crate::types::TypeKind;

/// Most keys that are remembered of a node. A guess: joins multiply them, and only a few are asked for.
const KEYS_MAX: usize = 8;

/// Name of the function that makes a processing time attribute.
pub(super) const PROCTIME: &str = "PROCTIME";

/// What is known of the columns of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// Event-time attributes.
    pub(super) rowtimes: BTreeSet<usize>,
    /// Processing-time attributes.
    pub(super) proctimes: BTreeSet<usize>,
    /// The windows that rows are in.
    pub(super) window: Option<WindowColumns>,
    /// Sets of columns that identify a row, ascending, the one that says most first.
    pub(super) keys: Vec<Vec<usize>>,
}

/// Columns that hold the window of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WindowColumns {
    /// Starts.
    pub(super) starts: BTreeSet<usize>,
    /// Ends.
    pub(super) ends: BTreeSet<usize>,
    /// Last times, which are time attributes.
    pub(super) times: BTreeSet<usize>,
    /// The shape.
    pub(super) kind: WindowKind,
    /// The time zone that windows are aligned to.
    pub(super) time_zone: String,
    /// The clock.
    pub(super) domain: TimeDomain,
}

impl WindowColumns {
    /// The time zone as operators over such rows store it: none is UTC.
    pub(super) fn stored_zone(&self) -> String {
        match self.time_zone.as_str() {
            "UTC" => String::new(),
            zone => zone.to_owned(),
        }
    }

    /// The columns of both that `map` finds a place for; absent when start or end gets lost.
    pub(super) fn mapped(&self, map: &dyn Fn(usize) -> Vec<usize>) -> Option<Self> {
        let moved = |columns: &BTreeSet<usize>| -> BTreeSet<usize> {
            columns.iter().flat_map(|column| map(*column)).collect()
        };
        let all = Self {
            starts: moved(&self.starts),
            ends: moved(&self.ends),
            times: moved(&self.times),
            ..self.clone()
        };
        (!all.starts.is_empty() && !all.ends.is_empty()).then_some(all)
    }
}

impl Traits {
    /// Those of a node with a rowtime and no more.
    pub(super) fn of_rowtime(rowtime: Option<usize>) -> Self {
        Self {
            rowtimes: rowtime.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The clock that an expression follows, when it is a time attribute.
    pub(super) fn domain_of(&self, expr: &Expr) -> Option<TimeDomain> {
        if is_proctime_call(expr) {
            return Some(TimeDomain::Processing);
        }
        self.domain(expr.as_column()?)
    }

    /// The clock that a column follows, when it is a time attribute.
    pub(super) fn domain(&self, column: usize) -> Option<TimeDomain> {
        if self.rowtimes.contains(&column) {
            Some(TimeDomain::Event)
        } else if self.proctimes.contains(&column) {
            Some(TimeDomain::Processing)
        } else {
            None
        }
    }

    /// Remembers a set of columns that identify a row.
    pub(super) fn add_key(&mut self, mut key: Vec<usize>) {
        key.sort_unstable();
        key.dedup();
        if self.keys.len() < KEYS_MAX && !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    /// The same traits with one key.
    pub(super) fn with_key(mut self, key: Vec<usize>) -> Self {
        self.add_key(key);
        self
    }

    /// Whether some of these columns identify a row.
    pub(super) fn is_unique(&self, columns: &[usize]) -> bool {
        self.keys
            .iter()
            .any(|key| key.iter().all(|column| columns.contains(column)))
    }

    /// The traits when every column goes where `map` says, perhaps to several places.
    pub(super) fn mapped(&self, map: &dyn Fn(usize) -> Vec<usize>) -> Self {
        let moved = |columns: &BTreeSet<usize>| -> BTreeSet<usize> {
            columns.iter().flat_map(|column| map(*column)).collect()
        };
        let mut all = Self {
            rowtimes: moved(&self.rowtimes),
            proctimes: moved(&self.proctimes),
            window: self.window.as_ref().and_then(|window| window.mapped(map)),
            keys: Vec::new(),
        };
        for key in &self.keys {
            let places: Option<Vec<usize>> = key
                .iter()
                .map(|column| map(*column).first().copied())
                .collect();
            if let Some(key) = places {
                all.add_key(key);
            }
        }
        all
    }

    /// The traits behind a projection.
    pub(super) fn projected(&self, projections: &[Expr]) -> Self {
        let places = |column: usize| -> Vec<usize> {
            (0..projections.len())
                .filter(|index| projections[*index].as_column() == Some(column))
                .collect()
        };
        let mut all = Self {
            keys: Vec::new(),
            ..self.mapped(&places)
        };
        let find_key = |column: &usize| {
            let keeps = |expr: &Expr| distinct_column(expr) == Some(*column);
            let plain = places(*column).first().copied();
            plain.or_else(|| projections.iter().position(keeps))
        };
        for key in &self.keys {
            if let Some(key) = key.iter().map(find_key).collect() {
                all.add_key(key);
            }
        }
        let proctimes =
            (0..projections.len()).filter(|index| is_proctime_call(&projections[*index]));
        all.proctimes.extend(proctimes);
        all
    }

    /// The traits behind a window function over `width` columns.
    pub(super) fn windowed(&self, window: &Window, width: usize) -> Self {
        // A session gives its rows away when it ends; other windows pass them on at once, in the order of their times.
        let is_delayed = matches!(window.kind, WindowKind::Session { .. });
        let (mut rowtimes, mut proctimes) = if is_delayed {
            (BTreeSet::new(), BTreeSet::new())
        } else {
            (self.rowtimes.clone(), self.proctimes.clone())
        };
        match window.domain {
            TimeDomain::Event => rowtimes.insert(width + WINDOW_TIME),
            TimeDomain::Processing => proctimes.insert(width + WINDOW_TIME),
        };
        Self {
            window: Some(WindowColumns {
                starts: [width + WINDOW_START].into(),
                ends: [width + WINDOW_END].into(),
                times: [width + WINDOW_TIME].into(),
                kind: window.kind.clone(),
                time_zone: window.time_zone.clone(),
                domain: window.domain,
            }),
            rowtimes,
            proctimes,
            keys: Vec::new(),
        }
    }

    /// The time attributes of two inputs whose columns stand beside each other; keys and windows are left out.
    pub(super) fn beside(&self, right: &Self, width: usize) -> Self {
        let shifted = |columns: &BTreeSet<usize>| -> BTreeSet<usize> {
            columns.iter().map(|column| width + column).collect()
        };
        let mut all = Self {
            rowtimes: self.rowtimes.clone(),
            proctimes: self.proctimes.clone(),
            window: None,
            keys: Vec::new(),
        };
        all.rowtimes.extend(shifted(&right.rowtimes));
        all.proctimes.extend(shifted(&right.proctimes));
        all
    }
}

/// Whether an expression is a call of `PROCTIME()`.
fn is_proctime_call(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Call { function, .. } if function == PROCTIME)
}

/// The column that an expression only widens: different values stay different, so that a key stays one.
///
/// # Source
/// Flink: `FlinkRelMdUniqueKeys` keeps unique keys under such casts.
fn distinct_column(expr: &Expr) -> Option<usize> {
    let ExprKind::Cast { input, .. } = &expr.kind else {
        return None;
    };
    let rank = |kind: &TypeKind| match kind {
        TypeKind::TinyInt => Some(0),
        TypeKind::SmallInt => Some(1),
        TypeKind::Int => Some(2),
        TypeKind::BigInt => Some(3),
        _ => None,
    };
    let widens = match (&input.ty.kind, &expr.ty.kind) {
        (TypeKind::Char(from) | TypeKind::VarChar(from), TypeKind::VarChar(to)) => from <= to,
        (from, to) => rank(from)
            .zip(rank(to))
            .is_some_and(|(from, to)| from <= to),
    };
    input.as_column().filter(|_| widens)
}
