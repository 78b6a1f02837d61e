//! What one call of the operator works on.
//!
//! Place in the flow: partitions are taken out of the state, get their rows, and are put back. Rows are processed in waves, the next row of
//! each partition at a time, so that a condition is evaluated once for many partitions and partial matches. Invariant: while a call lasts,
//! a row of a partition has a place in the arena or is encoded in the partition.

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray};

use super::automaton::{Found, Row};
use super::partitions::Partition;
use super::program::{Program, RowValues};
use super::reading::{Gathered, View};
use super::rows::{Arena, Place};
use super::work::Work;
use crate::error::{Error, Result};
use crate::operator::EMIT_ROWS_MAX;
use crate::sql::eval::EvalContext;
use crate::state::KeyCodec;

/// A row of the state that was not decoded.
const ENCODED: Place = Place {
    chunk: u32::MAX,
    row: 0,
};

/// Rows of the state that are decoded with one that is asked for, as its neighbours are asked for next (guess, unmeasured).
const NEIGHBOURS: usize = 16;

/// Rows that are gathered for a condition before it is evaluated (guess, unmeasured).
const GATHERED_MAX: usize = 1 << 20;

/// A partition that a call works on.
#[derive(Debug)]
pub(super) struct Active {
    /// Its number in the work.
    pub(super) key: usize,
    /// Its id in the table.
    pub(super) id: u32,
    /// What is known of it; its rows are those that the state had.
    pub(super) partition: Box<Partition>,
    /// Where its rows are, those of the state first.
    pub(super) places: Vec<Place>,
}

impl Active {
    /// A partition without new rows.
    pub(super) fn new(key: usize, id: u32, partition: Box<Partition>) -> Self {
        Self {
            places: vec![ENCODED; partition.rows.len()],
            key,
            id,
            partition,
        }
    }

    /// The number of the next row.
    fn next_row(&self) -> u64 {
        self.partition
            .first_row
            .saturating_add(u64::try_from(self.places.len()).unwrap_or(u64::MAX))
    }
}

/// The place of a row, which is decoded if needed.
fn place_of(
    (places, partition): (&mut [Place], &Partition),
    arena: &mut Arena,
    number: u64,
) -> Place {
    let index = usize::try_from(number.saturating_sub(partition.first_row)).unwrap_or(usize::MAX);
    if places[index] == ENCODED {
        let end = (index + NEIGHBOURS).min(partition.rows.len());
        let encoded = partition.rows.range(index..end);
        for (place, row) in places[index..end].iter_mut().zip(encoded) {
            if *place == ENCODED {
                *place = arena.add(row);
            }
        }
    }
    places[index]
}

/// What one call works on.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// What is run.
    program: &'a Program,
    /// Decodes rows of the state.
    codec: &'a KeyCodec,
    /// What expressions may ask for.
    context: EvalContext,
    /// Rows that are read.
    arena: Arena,
    /// The rows of the input.
    values: &'a RowValues,
    /// The answers of a wave.
    answers: Vec<bool>,
    /// For each variable, what its condition is asked about.
    asked: Vec<Gathered>,
    /// For each variable, which answers these are.
    asked_answers: Vec<Vec<usize>>,
    /// For each measure, what it reads.
    measured: Vec<Gathered>,
    /// The partitions of the matches that were found, by their numbers in the work.
    pub(super) found_keys: Vec<usize>,
}

impl<'a> Call<'a> {
    /// Nothing found yet.
    ///
    /// # Errors
    /// `Internal` for types without storage, which planning refuses.
    pub(super) fn new(
        program: &'a Program,
        codec: &'a KeyCodec,
        values: &'a RowValues,
        context: EvalContext,
    ) -> Result<Self> {
        let arena = Arena::new(program.kept_types.clone(), values.kept.clone())?;
        let asked = program.defines.iter().map(|define| {
            let define = define.as_ref();
            define.map_or_else(Gathered::default, super::reading::Compiled::gathered)
        });
        let measured = program.measures.iter();
        Ok(Self {
            program,
            codec,
            context,
            arena,
            values,
            answers: Vec::new(),
            asked: asked.collect(),
            asked_answers: vec![Vec::new(); program.defines.len()],
            measured: measured.map(super::reading::Compiled::gathered).collect(),
            found_keys: Vec::new(),
        })
    }

    /// Gives partitions their rows until about as many matches were found as one call emits.
    ///
    /// # Errors
    /// `Data` when a condition fails, when AFTER MATCH SKIP leads nowhere, or when a partition has too many matches.
    pub(super) fn run(&mut self, work: &mut Work, active: &mut [Active]) -> Result<()> {
        let mut left: Vec<usize> = (0..active.len()).collect();
        let mut rows = Vec::new();
        let mut found = Vec::new();
        while !left.is_empty() && self.found_keys.len() < EMIT_ROWS_MAX {
            rows.clear();
            self.answers.clear();
            left.retain(|place| work.is_left(active[*place].key));
            for place in &left {
                let one = &mut active[*place];
                let row = self.next_row(work, one, &mut found)?;
                self.note(one, &mut found);
                let start = self.answers.len();
                if let Some((row, input)) = row {
                    self.ask(one, row, input)?;
                    rows.push((*place, row, start..self.answers.len()));
                }
            }
            for variable in 0..self.asked.len() {
                self.answer(variable)?;
            }
            for (place, row, range) in rows.drain(..) {
                let one = &mut active[place];
                let matching = &mut one.partition.matching;
                let answers = &self.answers[range];
                self.program
                    .automaton
                    .step(matching, row, answers, &mut found)?;
                self.note(one, &mut found);
            }
        }
        Ok(())
    }

    /// The next row of a partition, with its place in the input; timers before it are done with.
    fn next_row(
        &self,
        work: &mut Work,
        active: &mut Active,
        found: &mut Vec<Found>,
    ) -> Result<Option<(Row, u32)>> {
        while let Some(entry) = work.take(active.key) {
            let partition = &mut active.partition;
            let automaton = &self.program.automaton;
            automaton.advance(&mut partition.matching, entry.time_ms, found)?;
            let Some(input) = entry.row else {
                partition.timer_ms = partition
                    .timer_ms
                    .filter(|timer_ms| *timer_ms > entry.time_ms);
                continue;
            };
            let row = Row {
                number: active.next_row(),
                time_ms: entry.time_ms,
            };
            active.places.push(Arena::of_input(input));
            return Ok(Some((row, input)));
        }
        Ok(None)
    }

    /// Asks whether the partial matches of a partition take its row.
    fn ask(&mut self, active: &mut Active, row: Row, input: u32) -> Result<()> {
        let program = self.program;
        let input = input as usize;
        for run in active.partition.matching.partial.iter() {
            for variable in program.automaton.asks(run) {
                let variable = usize::from(*variable);
                let Some(define) = &program.defines[variable] else {
                    return Err(Error::internal("a variable without a condition is asked"));
                };
                if let Some(holds) = &self.values.holds[variable] {
                    self.answers
                        .push(holds.is_valid(input) && holds.value(input));
                    continue;
                }
                self.asked_answers[variable].push(self.answers.len());
                self.answers.push(false);
                let view = View {
                    run,
                    row: row.number,
                    time_ms: row.time_ms,
                };
                let (arena, partition) = (&mut self.arena, &*active.partition);
                let places = &mut active.places;
                self.asked[variable].add(define, view, |number| {
                    place_of((places, partition), arena, number)
                });
                if self.asked[variable].size() > GATHERED_MAX {
                    self.answer(variable)?;
                }
            }
        }
        Ok(())
    }

    /// Evaluates a condition for what it was asked about.
    fn answer(&mut self, variable: usize) -> Result<()> {
        let asked = &mut self.asked[variable];
        let Some(define) = self.program.defines[variable]
            .as_ref()
            .filter(|_| !asked.is_empty())
        else {
            return Ok(());
        };
        self.arena.decode(self.codec)?;
        let holds = define.eval(asked, &self.arena, &self.values.current, &self.context)?;
        let holds: &BooleanArray = holds
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a condition is not BOOLEAN"))?;
        for (place, answer) in self.asked_answers[variable].drain(..).enumerate() {
            self.answers[answer] = holds.is_valid(place) && holds.value(place);
        }
        asked.clear();
        Ok(())
    }

    /// Notes what the measures read of the matches that were found.
    fn note(&mut self, active: &mut Active, found: &mut Vec<Found>) {
        for found in found.drain(..) {
            let view = View {
                run: &found.run,
                row: found.run.all_rows().end,
                time_ms: found.time_ms,
            };
            for (measure, measured) in self.program.measures.iter().zip(&mut self.measured) {
                let (arena, partition) = (&mut self.arena, &*active.partition);
                let places = &mut active.places;
                measured.add(measure, view, |number| {
                    place_of((places, partition), arena, number)
                });
            }
            self.found_keys.push(active.key);
        }
    }

    /// The measures of the matches that were found.
    ///
    /// # Errors
    /// `Data` when a measure fails.
    pub(super) fn measures(&mut self) -> Result<Vec<ArrayRef>> {
        self.arena.decode(self.codec)?;
        let measures = self.program.measures.iter().zip(&self.measured);
        let columns = measures
            .map(|(measure, measured)| measure.eval(measured, &self.arena, &[], &self.context));
        columns.collect()
    }
}
