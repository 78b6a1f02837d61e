//! The automaton of a pattern.
//!
//! Place in the flow: made from the plan's pattern; each row of a partition is one step, which tells the matches that are complete.
//! Nothing is read or evaluated here: the operator answers beforehand which conditions hold. Invariant: a match takes rows that follow
//! one another, and the rows of a variable follow those of the one before, so that a match is told by its first row and by how many rows
//! each variable has.
//!
//! # Source
//! Flink 2.3, `PatternVisitor`, `NFACompiler`, `NFA` and the strategies of AFTER MATCH SKIP of its CEP library, for what SQL can say: no
//! row between two variables is ignored.

use super::queue::Queue;
use crate::error::{Error, Result};
use crate::plan::{AfterMatch, PatternVariable};
use crate::time::EpochMillis;

/// Partial and complete matches that one partition may have at a time. A step looks at each of them (guess, unmeasured).
pub const MATCHES_MAX: usize = 1 << 16;

/// The first row of a match that has none yet: behind all rows.
pub const NOT_STARTED: u64 = u64::MAX;

/// The state of a complete match.
const FINAL: u16 = u16::MAX;

/// States of a pattern, past which it is refused: a repetition `{n, m}` has m of them (guess).
pub const STATES_MAX: usize = 1 << 12;

/// Rows that a match has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Where in the pattern it is.
    pub state: u16,
    /// Its first row.
    pub start: u64,
    /// The time of its first row.
    pub start_ms: EpochMillis,
    /// Rows.
    pub rows: u32,
    /// For each variable up to the last that has rows, how many rows are before its first.
    pub bounds: Vec<u32>,
}

impl Run {
    /// A match without rows.
    fn not_started(state: u16) -> Self {
        Self {
            state,
            start: NOT_STARTED,
            ..Self::default()
        }
    }

    /// Whether it has rows.
    pub fn is_started(&self) -> bool {
        self.start != NOT_STARTED
    }

    /// The rows of a variable.
    pub fn rows_of(&self, variable: usize) -> std::ops::Range<u64> {
        let bound = |variable: usize| {
            let rows = self.bounds.get(variable).copied().unwrap_or(self.rows);
            self.start.saturating_add(u64::from(rows))
        };
        bound(variable)..bound(variable + 1)
    }

    /// All rows.
    pub fn all_rows(&self) -> std::ops::Range<u64> {
        self.start..self.start.saturating_add(u64::from(self.rows))
    }

    /// The match with one row more, which a variable takes.
    fn with(&self, variable: u16, row: Row, state: u16) -> Self {
        let mut next = Self {
            state,
            bounds: Vec::with_capacity(usize::from(variable) + 1),
            ..*self
        };
        next.bounds.extend_from_slice(&self.bounds);
        if !self.is_started() {
            next.start = row.number;
            next.start_ms = row.time_ms;
        }
        next.bounds
            .resize(next.bounds.len().max(usize::from(variable) + 1), self.rows);
        next.rows = self.rows.saturating_add(1);
        next
    }
}

/// A row of a partition.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its number: that of the one before, and one.
    pub number: u64,
    /// Its time.
    pub time_ms: EpochMillis,
}

/// The matches of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// Those that are not complete, and one that is not started.
    pub partial: Queue,
    /// Those that are complete and wait for earlier ones.
    pub complete: Queue,
}

impl Matching {
    /// Whether nothing has begun.
    pub fn is_idle(&self) -> bool {
        self.partial.len() <= 1 && self.complete.is_empty()
    }

    /// The first row that a match has.
    pub fn first_row(&self) -> Option<u64> {
        let firsts = [self.partial.first(), self.complete.first()];
        let started = firsts.into_iter().flatten().filter(|run| run.is_started());
        started.map(|run| run.start).min()
    }
}

/// A match that is emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its rows.
    pub run: Run,
    /// Its time: of the row that completed it, or that ended the last earlier one, or when that one's time was over.
    pub time_ms: EpochMillis,
}

/// What a transition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The variable of the state takes the row.
    Take,
    /// Goes on without a row.
    Proceed,
}

/// From one state to another.
#[derive(Debug, Clone)]
struct Transition {
    /// What it does.
    action: Action,
    /// Where it leads.
    target: u16,
    /// Variables that must not be able to take the row: greedy ones before.
    unless: Vec<u16>,
}

/// A place in the pattern.
#[derive(Debug, Clone, Default)]
struct State {
    /// Its variable.
    variable: u16,
    /// Ways on, in order.
    transitions: Vec<Transition>,
    /// Variables whose conditions a step from here asks for.
    asks: Vec<u16>,
}

/// Which matches one that is emitted ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    /// Those that begin up to its last row.
    PastLastRow,
    /// Those that begin with its first row.
    ToNextRow,
    /// Those that begin before the first row of a variable.
    ToFirst(u16),
    /// Those that begin before the last row of a variable.
    ToLast(u16),
}

/// The automaton of a pattern.
#[derive(Debug)]
pub struct Automaton {
    /// Its states.
    states: Vec<State>,
    /// The first.
    start: u16,
    /// Variables in the order of the pattern.
    variables: Vec<String>,
    /// Whether each has a condition.
    has_condition: Vec<bool>,
    /// What a match ends.
    skip: Skip,
    /// How long a match takes at most, exclusive, milliseconds.
    window_ms: Option<i64>,
}

/// The conditions that hold for the step of one match.
#[derive(Debug, Clone, Copy)]
struct Answers<'a> {
    /// Whether each variable has a condition.
    has_condition: &'a [bool],
    /// Variables that were asked for.
    asks: &'a [u16],
    /// Their answers.
    holds: &'a [bool],
}

impl Answers<'_> {
    /// Whether a variable can take the row.
    fn holds(&self, variable: u16) -> bool {
        if !self.has_condition[usize::from(variable)] {
            return true;
        }
        let place = self.asks.iter().position(|asked| *asked == variable);
        place.is_some_and(|place| self.holds[place])
    }
}

impl Automaton {
    /// The automaton of a pattern; `is_defined` tells which variables have a condition.
    ///
    /// # Errors
    /// `Unsupported` for a pattern that planning refuses, and for one of more than [`STATES_MAX`] states.
    pub fn new(
        pattern: &[PatternVariable],
        is_defined: impl Fn(&str) -> bool,
        skip: &AfterMatch,
        window_ms: Option<i64>,
    ) -> Result<Self> {
        let variables: Vec<String> = pattern.iter().map(|one| one.name.clone()).collect();
        let place = |name: &String| {
            let place = variables.iter().position(|variable| variable == name);
            place
                .and_then(|place| u16::try_from(place).ok())
                .ok_or_else(|| Error::internal("AFTER MATCH SKIP to an unknown variable"))
        };
        let skip = match skip {
            AfterMatch::PastLastRow => Skip::PastLastRow,
            AfterMatch::ToNextRow => Skip::ToNextRow,
            AfterMatch::ToFirst(name) => Skip::ToFirst(place(name)?),
            AfterMatch::ToLast(name) => Skip::ToLast(place(name)?),
        };
        let mut automaton = Self {
            states: Vec::new(),
            start: 0,
            has_condition: variables.iter().map(|name| is_defined(name)).collect(),
            variables,
            skip,
            window_ms: window_ms.filter(|window_ms| *window_ms > 0),
        };
        let mut sink = FINAL;
        for (variable, element) in pattern.iter().enumerate().rev() {
            let variable = u16::try_from(variable)
                .map_err(|_| Error::unsupported("a pattern of so many variables"))?;
            sink = automaton.add(variable, element, sink)?;
        }
        automaton.start = sink;
        for state in 0..automaton.states.len() {
            automaton.states[state].asks = automaton.asks_of(state);
        }
        Ok(automaton)
    }

    /// Variables in the order of the pattern.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// How long a match takes at most, exclusive, milliseconds.
    pub fn window_ms(&self) -> Option<i64> {
        self.window_ms
    }

    /// States.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// A partition without rows.
    pub fn matching(&self) -> Matching {
        let mut partial = Queue::default();
        partial.push(Run::not_started(self.start));
        Matching {
            partial,
            complete: Queue::default(),
        }
    }

    /// The variables whose conditions the step of a partial match asks for.
    pub fn asks(&self, run: &Run) -> &[u16] {
        &self.states[usize::from(run.state)].asks
    }

    /// Gives a row to the matches of a partition. `answers` are those to [`Self::asks`] of all partial matches, one behind the other;
    /// [`Self::advance`] has been called for the time of the row.
    ///
    /// # Errors
    /// `Data` when AFTER MATCH SKIP leads nowhere, or when there are more than [`MATCHES_MAX`] matches.
    pub fn step(
        &self,
        matching: &mut Matching,
        row: Row,
        mut answers: &[bool],
        out: &mut Vec<Found>,
    ) -> Result<()> {
        let mut edges = Vec::new();
        let mut complete = Queue::default();
        for run in matching.partial.take() {
            let asks = self.asks(&run);
            let (holds, rest) = answers.split_at(asks.len());
            answers = rest;
            let answers = Answers {
                has_condition: &self.has_condition,
                asks,
                holds,
            };
            self.edges(run.state, answers, &mut edges);
            for (variable, target) in edges.drain(..) {
                let next = run.with(variable, row, target);
                if target == FINAL {
                    complete.push(next);
                } else if self.is_end(target, answers) {
                    let ended = Run {
                        state: FINAL,
                        ..next.clone()
                    };
                    matching.partial.push(next);
                    complete.push(ended);
                } else {
                    matching.partial.push(next);
                }
            }
            if !run.is_started() {
                matching.partial.push(run);
            }
        }
        for run in complete.take() {
            matching.complete.push(run);
        }
        if matching.partial.len() + matching.complete.len() > MATCHES_MAX {
            return Err(Error::deserialization(format!(
                "MATCH_RECOGNIZE has more than {MATCHES_MAX} partial matches of one partition: each row may begin another, and they go on as long as the pattern does; bound them with WITHIN, a stricter DEFINE, or a finer PARTITION BY"
            )));
        }
        self.settle(matching, row.time_ms, out)
    }

    /// Ends the partial matches whose time is over, which frees complete ones that have waited for them.
    ///
    /// # Errors
    /// `Data` when AFTER MATCH SKIP leads nowhere.
    pub fn advance(
        &self,
        matching: &mut Matching,
        time_ms: EpochMillis,
        out: &mut Vec<Found>,
    ) -> Result<()> {
        while let Some(first_ms) = self.expiry_ms(matching)
            && first_ms <= time_ms
        {
            // Complete matches leave when the last of the partial ones before them ends.
            let waits = matching.complete.first().map(|run| run.start);
            let blocking = matching
                .partial
                .iter()
                .filter(|run| Some(run.start) < waits);
            let freed_ms = blocking.filter_map(|run| self.expiry_of(run)).max();
            let until_ms = freed_ms.map_or(time_ms, |freed_ms| freed_ms.min(time_ms));
            for run in matching.partial.take() {
                let is_over = self
                    .expiry_of(&run)
                    .is_some_and(|end_ms| end_ms <= until_ms);
                if !is_over {
                    matching.partial.push(run);
                }
            }
            self.settle(matching, until_ms, out)?;
        }
        Ok(())
    }

    /// When the time of a partial match is over next.
    pub fn expiry_ms(&self, matching: &Matching) -> Option<EpochMillis> {
        let first = matching.partial.first()?;
        self.expiry_of(first)
    }

    /// When the time of a match is over.
    fn expiry_of(&self, run: &Run) -> Option<EpochMillis> {
        let window_ms = self.window_ms.filter(|_| run.is_started())?;
        Some(run.start_ms.saturating_add(window_ms))
    }

    /// Emits complete matches that no partial one precedes.
    fn settle(
        &self,
        matching: &mut Matching,
        time_ms: EpochMillis,
        out: &mut Vec<Found>,
    ) -> Result<()> {
        while let Some(earliest) = matching.complete.first() {
            let partial = matching.partial.first();
            if partial.is_some_and(|partial| partial.start < earliest.start) {
                return Ok(());
            }
            let Some(run) = matching.complete.pop() else {
                return Ok(());
            };
            let first_kept = self.first_kept(&run)?;
            let is_ended = |other: &Run| other.start < first_kept;
            matching.partial.remove_if(is_ended);
            matching.complete.remove_if(is_ended);
            out.push(Found { run, time_ms });
        }
        Ok(())
    }

    /// The first row with which matches may begin behind one.
    fn first_kept(&self, run: &Run) -> Result<u64> {
        let (variable, rows) = match self.skip {
            Skip::PastLastRow => return Ok(run.all_rows().end),
            Skip::ToNextRow => return Ok(run.start + 1),
            Skip::ToFirst(variable) | Skip::ToLast(variable) => {
                (variable, run.rows_of(usize::from(variable)))
            }
        };
        let name = &self.variables[usize::from(variable)];
        if rows.is_empty() {
            return Err(Error::deserialization(format!(
                "AFTER MATCH SKIP TO {name}: a match has no row of {name}; let the pattern have at least one, or skip past the last row"
            )));
        }
        let first_kept = match self.skip {
            Skip::ToLast(_) => rows.end - 1,
            Skip::PastLastRow | Skip::ToNextRow | Skip::ToFirst(_) => rows.start,
        };
        if first_kept == run.start {
            return Err(Error::deserialization(format!(
                "AFTER MATCH SKIP TO {name} leads to the first row of the match, which would be found again for ever; skip to a variable behind the first, TO NEXT ROW or PAST LAST ROW"
            )));
        }
        Ok(first_kept)
    }

    /// The variables that take a row of a match in a state, and where that leads.
    fn edges(&self, state: u16, answers: Answers<'_>, out: &mut Vec<(u16, u16)>) {
        let mut open = vec![state];
        while let Some(state) = open.pop() {
            if state == FINAL {
                continue;
            }
            let state = &self.states[usize::from(state)];
            for transition in &state.transitions {
                if transition
                    .unless
                    .iter()
                    .any(|greedy| answers.holds(*greedy))
                {
                    continue;
                }
                match transition.action {
                    Action::Proceed => open.push(transition.target),
                    Action::Take if answers.holds(state.variable) => {
                        out.push((state.variable, transition.target));
                    }
                    Action::Take => {}
                }
            }
        }
    }

    /// Whether the pattern may end in a state. Greedy variables are asked about the row that has just been taken, as in Flink.
    fn is_end(&self, state: u16, answers: Answers<'_>) -> bool {
        let mut open = vec![state];
        while let Some(state) = open.pop() {
            for transition in &self.states[usize::from(state)].transitions {
                let is_barred = || {
                    transition
                        .unless
                        .iter()
                        .any(|greedy| answers.holds(*greedy))
                };
                if transition.action == Action::Take || is_barred() {
                    continue;
                }
                if transition.target == FINAL {
                    return true;
                }
                open.push(transition.target);
            }
        }
        false
    }

    /// The variables whose conditions a step from a state asks for, ascending.
    fn asks_of(&self, state: usize) -> Vec<u16> {
        let mut found = Vec::new();
        let mut open = vec![(state, true)];
        while let Some((state, takes)) = open.pop() {
            let state = &self.states[state];
            for transition in &state.transitions {
                let is_take = transition.action == Action::Take;
                if is_take && !takes {
                    continue;
                }
                found.extend_from_slice(&transition.unless);
                if is_take {
                    found.push(state.variable);
                }
                if transition.target != FINAL {
                    open.push((usize::from(transition.target), takes && !is_take));
                }
            }
        }
        found.retain(|variable| self.has_condition[usize::from(*variable)]);
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// How an element becomes states.
impl Automaton {
    /// Adds the states of an element in front of `sink`; the first of them.
    fn add(&mut self, variable: u16, element: &PatternVariable, sink: u16) -> Result<u16> {
        let is_optional = element.min == 0;
        let min = element.min.max(1);
        if element.max.is_some_and(|max| max < min) {
            return Err(Error::internal("a variable that takes no row"));
        }
        let Some(max) = element.max else {
            let looping = self.state(variable)?;
            self.transition(looping, Action::Proceed, sink);
            if element.greedy {
                self.yield_to(sink, variable);
            }
            self.transition(looping, Action::Take, looping);
            return self.times(variable, (looping, sink), (min, min), is_optional);
        };
        if element.greedy && min != max {
            self.yield_to(sink, variable);
        }
        self.times(variable, (sink, sink), (min, max), is_optional)
    }

    /// Adds states of a variable that takes rows so many times; the first of them. From those that may be left the way leads to `proceed`.
    fn times(
        &mut self,
        variable: u16,
        (sink, proceed): (u16, u16),
        (min, max): (u32, u32),
        is_optional: bool,
    ) -> Result<u16> {
        let mut last = sink;
        for place in 1..max {
            let state = self.state(variable)?;
            self.transition(state, Action::Take, last);
            if place <= max - min {
                self.transition(state, Action::Proceed, proceed);
            }
            last = state;
        }
        let first = self.state(variable)?;
        self.transition(first, Action::Take, last);
        if is_optional {
            self.transition(first, Action::Proceed, proceed);
        }
        Ok(first)
    }

    /// Adds a state.
    fn state(&mut self, variable: u16) -> Result<u16> {
        if self.states.len() >= STATES_MAX {
            return Err(Error::unsupported(format!(
                "a pattern of more than {STATES_MAX} states: a repetition {{n, m}} has m of them; write smaller numbers"
            )));
        }
        self.states.push(State {
            variable,
            ..State::default()
        });
        Ok(u16::try_from(self.states.len() - 1).unwrap_or(FINAL))
    }

    /// Adds a way on.
    fn transition(&mut self, from: u16, action: Action, target: u16) {
        self.states[usize::from(from)].transitions.push(Transition {
            action,
            target,
            unless: Vec::new(),
        });
    }

    /// Lets a greedy variable take the rows that the ways on from a state could take.
    fn yield_to(&mut self, state: u16, greedy: u16) {
        if let Some(state) = self.states.get_mut(usize::from(state)) {
            for transition in &mut state.transitions {
                transition.unless.push(greedy);
            }
        }
    }
}

#[cfg(test)]
mod tests;
