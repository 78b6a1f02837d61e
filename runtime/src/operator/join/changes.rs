//! What a join emits when rows have met, as row kinds and positions.
//!
//! Place in the flow: the second half of each step of [`super::regular::RegularJoin`]. Invariant: a row without a match is emitted padded
//! with NULL, or alone by an anti join, as long as it has none: that is taken back before its first match and comes back behind its last.
//!
//! # Source
//! Flink: `StreamingJoinOperator` and `StreamingSemiAntiJoinOperator`, with their row kinds: joins with an outer side know +I and -D only.

use super::meeting::Run;
use super::side::KeyChange;
use crate::batch::RowKind;
use crate::plan::JoinKind;

/// A position where there is no row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// Which rows of a join matter without a match, and who may tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Roles {
    /// Which rows are emitted.
    pub(super) kind: JoinKind,
    /// The input that brings the batch.
    pub(super) input: usize,
}

impl Roles {
    /// Whether rows of an input are emitted, or not, for the sake of having no match.
    pub(super) fn minds_matches(kind: JoinKind, input: usize) -> bool {
        match kind {
            JoinKind::Inner => false,
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => input == 0,
            JoinKind::Right => input == 1,
            JoinKind::Full => true,
        }
    }

    /// Whether rows of the other input mind their matches.
    pub(super) fn other_minds(self) -> bool {
        Self::minds_matches(self.kind, 1 - self.input)
    }

    /// Whether rows of the batch mind their matches.
    pub(super) fn own_minds(self) -> bool {
        Self::minds_matches(self.kind, self.input)
    }

    /// The kind of what a row of the batch emits.
    fn row_kind(self, kind: RowKind) -> RowKind {
        if matches!(self.kind, JoinKind::Left | JoinKind::Right | JoinKind::Full) {
            plain(kind.is_retraction())
        } else {
            kind
        }
    }
}

/// -D or +I.
fn plain(is_retraction: bool) -> RowKind {
    if is_retraction {
        RowKind::Delete
    } else {
        RowKind::Insert
    }
}

/// What tells a row of the other side that it has its first match or has lost its last.
#[derive(Debug)]
pub(super) enum Matching<'a> {
    /// Nothing: it does not mind.
    None,
    /// What the row of the batch did to its key, by rows.
    Keys(&'a [KeyChange]),
    /// How many matches rows of the other side have, by position; those that have changed are noted.
    Counts {
        /// Matches.
        matches: &'a mut [u64],
        /// Positions that have changed, ascending by time.
        changed: &'a mut Vec<u32>,
    },
}

impl Matching<'_> {
    /// What a run does to its row of the other side.
    fn change(&mut self, run: Run, is_retraction: bool) -> KeyChange {
        match self {
            Self::None => KeyChange::Same,
            Self::Keys(changes) => changes[run.own as usize],
            Self::Counts { matches, changed } => {
                let count = &mut matches[run.theirs as usize];
                let change = match (*count, is_retraction) {
                    (0, false) => KeyChange::Opened,
                    (1, true) => KeyChange::Closed,
                    _ => KeyChange::Same,
                };
                // Equal rows are counted once, behind the last of them.
                if run.is_last {
                    *count = if is_retraction {
                        count.saturating_sub(1)
                    } else {
                        *count + 1
                    };
                    changed.push(run.theirs);
                }
                change
            }
        }
    }
}

/// Rows to emit: positions in the batch and among the rows of the other side, [`NO_ROW`] for none.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Rows of the batch.
    pub(super) own: Vec<u32>,
    /// Rows of the other side.
    pub(super) theirs: Vec<u32>,
    /// Their kinds.
    pub(super) kinds: Vec<RowKind>,
}

impl Changes {
    /// Emits a row several times.
    fn push(&mut self, (own, theirs): (u32, u32), kind: RowKind, copies: u32) {
        for _ in 0..copies {
            self.own.push(own);
            self.theirs.push(theirs);
            self.kinds.push(kind);
        }
    }

    /// Takes the positions of runs, once each.
    pub(super) fn extend_runs(&mut self, runs: &[Run]) {
        self.own.extend(runs.iter().map(|run| run.own));
        self.theirs.extend(runs.iter().map(|run| run.theirs));
    }

    /// Takes the positions of runs, each as often as its row is there.
    pub(super) fn extend_pairs(&mut self, runs: &[Run]) {
        if runs.iter().all(|run| run.copies == 1) {
            self.extend_runs(runs);
            return;
        }
        for run in runs {
            let copies = run.copies as usize;
            self.own.extend(std::iter::repeat_n(run.own, copies));
            self.theirs.extend(std::iter::repeat_n(run.theirs, copies));
        }
    }

    /// A row of the batch meets rows of the other side.
    pub(super) fn meet(
        &mut self,
        roles: Roles,
        run: Run,
        kind: RowKind,
        matching: &mut Matching<'_>,
    ) {
        let is_retraction = kind.is_retraction();
        let change = matching.change(run, is_retraction);
        let (alone, copies) = ((NO_ROW, run.theirs), run.copies);
        match roles.kind {
            JoinKind::Semi | JoinKind::Anti => {
                let is_anti = roles.kind == JoinKind::Anti;
                match change {
                    KeyChange::Same => {}
                    KeyChange::Opened => self.push(alone, plain(is_anti), copies),
                    KeyChange::Closed => self.push(alone, plain(!is_anti), copies),
                }
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                if change == KeyChange::Opened {
                    self.push(alone, RowKind::Delete, copies);
                }
                let pair = (run.own, run.theirs);
                self.push(pair, roles.row_kind(kind), copies);
                if change == KeyChange::Closed {
                    self.push(alone, RowKind::Insert, copies);
                }
            }
        }
    }

    /// A row of the batch has met everything there is.
    pub(super) fn complete(&mut self, roles: Roles, own: u32, kind: RowKind, matches: u64) {
        let is_emitted = roles.own_minds()
            && match roles.kind {
                JoinKind::Semi => matches > 0,
                JoinKind::Inner
                | JoinKind::Left
                | JoinKind::Right
                | JoinKind::Full
                | JoinKind::Anti => matches == 0,
            };
        if is_emitted {
            self.push((own, NO_ROW), roles.row_kind(kind), 1);
        }
    }
}
