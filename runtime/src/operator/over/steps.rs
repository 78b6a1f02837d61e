//! Running aggregates: rows of many partitions, step by step.
//!
//! Place in the flow: what turns rows in order into their results. Invariant: the steps of a partition are taken one after the other, and
//! the rows of a step get what the aggregates are behind it.
//!
//! The n-th steps of all partitions are taken together, one call of the aggregates for all of them: what costs is the number of steps of
//! the longest partition, and the number of rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};

use super::cells::Cells;
use crate::batch::{Batch, RowKind};
use crate::error::Result;

/// A step of a partition.
#[derive(Debug)]
pub(super) struct Step {
    /// The partition.
    pub(super) group: u32,
    /// Places of rows that leave the frame.
    pub(super) leave: Range<usize>,
    /// Places of rows that come into it, which get the results.
    pub(super) enter: Range<usize>,
}

/// Steps of partitions, and the rows that they name.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Rows by place.
    pub(super) rows: Vec<u32>,
    /// The n-th step of each partition that has so many.
    rounds: Vec<Vec<Step>>,
}

/// Results of steps.
#[derive(Debug)]
pub(super) struct Results {
    /// Columns of each round: one row per step.
    rounds: Vec<Vec<ArrayRef>>,
    /// Round and step of each row of the batch; rows that only left have any.
    places: Vec<(usize, usize)>,
}

impl Steps {
    /// No steps of rows that are their places.
    pub(super) fn in_place(rows: usize) -> Self {
        Self {
            rows: (0..rows)
                .map(|row| u32::try_from(row).unwrap_or(u32::MAX))
                .collect(),
            rounds: Vec::new(),
        }
    }

    /// Adds the n-th step of a partition.
    pub(super) fn push(&mut self, n: usize, step: Step) {
        if self.rounds.len() <= n {
            self.rounds.resize_with(n + 1, Vec::new);
        }
        self.rounds[n].push(step);
    }

    /// Takes all steps.
    ///
    /// # Errors
    /// What the aggregates return.
    pub(super) fn run(&self, cells: &mut Cells, batch: &Batch) -> Result<Results> {
        let mut results = Results {
            rounds: Vec::with_capacity(self.rounds.len()),
            places: vec![(0, 0); batch.rows],
        };
        for (round, steps) in self.rounds.iter().enumerate() {
            self.update(cells, batch, steps)?;
            let mut groups = Vec::with_capacity(steps.len());
            for (place, step) in steps.iter().enumerate() {
                cells.count(step.group, step.enter.len());
                groups.push(step.group);
                for row in &self.rows[step.enter.clone()] {
                    results.places[*row as usize] = (round, place);
                }
            }
            results.rounds.push(cells.evaluate(&groups)?);
        }
        Ok(results)
    }

    /// Moves the rows of a round.
    fn update(&self, cells: &mut Cells, batch: &Batch, steps: &[Step]) -> Result<()> {
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        let mut add = |step: &Step, places: &Range<usize>| {
            rows.extend_from_slice(&self.rows[places.clone()]);
            groups.resize(rows.len(), step.group);
        };
        for step in steps {
            add(step, &step.leave);
        }
        for step in steps {
            add(step, &step.enter);
        }
        let leaving: usize = steps.iter().map(|step| step.leave.len()).sum();
        let is_all = rows.len() == batch.rows && (0..).zip(&rows).all(|(place, row)| place == *row);
        let mut moved = if is_all {
            batch.clone()
        } else if let [row] = rows.as_slice() {
            batch.slice(*row as usize, 1)
        } else {
            let entering = rows.len();
            let moved = batch.take(&UInt32Array::from(rows))?;
            debug_assert_eq!(moved.rows, entering, "a row for each place");
            moved
        };
        moved.kinds = None;
        if leaving > 0 {
            let kind = |row| {
                if row < leaving {
                    RowKind::Delete
                } else {
                    RowKind::Insert
                }
            };
            moved.kinds = Some((0..moved.rows).map(kind).collect::<Arc<[_]>>());
        }
        cells.update(&moved, &groups)
    }
}

impl Results {
    /// The result columns of the first rows of the batch.
    ///
    /// # Errors
    /// `Internal` only.
    pub(super) fn columns(&self, rows: usize) -> Result<Vec<ArrayRef>> {
        let calls = self.rounds.first().map_or(0, Vec::len);
        let places = &self.places[..rows];
        (0..calls)
            .map(|call| {
                let rounds: Vec<&dyn Array> =
                    self.rounds.iter().map(|round| &*round[call]).collect();
                Ok(arrow::compute::interleave(&rounds, places)?)
            })
            .collect()
    }
}
