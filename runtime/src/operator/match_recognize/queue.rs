//! Matches in the order of their first rows.
//!
//! Place in the flow: the automaton keeps partial and complete matches in one each. Invariant: matches that begin with the same row lie
//! and leave in the order in which Java's `PriorityQueue` has them, since AFTER MATCH SKIP keeps the first of them only.
//!
//! # Source
//! Java 17: a binary heap in an array; what is added goes up past greater parents only, what is removed from the middle has the heap built
//! anew. Flink's CEP library keeps its matches in such heaps and goes through them in the order of the array.

use super::automaton::Run;

/// Matches in a heap, by their first row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// The heap.
    runs: Vec<Run>,
}

impl Queue {
    /// Matches.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The matches in the order of the array.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter()
    }

    /// Takes all matches, in the order of the array.
    pub fn take(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    /// The one with the earliest first row.
    pub fn first(&self) -> Option<&Run> {
        self.runs.first()
    }

    /// Adds a match.
    pub fn push(&mut self, run: Run) {
        let mut place = self.runs.len();
        self.runs.push(run);
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.runs[place].start >= self.runs[parent].start {
                break;
            }
            self.runs.swap(place, parent);
            place = parent;
        }
    }

    /// Takes the one with the earliest first row.
    pub fn pop(&mut self) -> Option<Run> {
        if self.runs.is_empty() {
            return None;
        }
        let first = self.runs.swap_remove(0);
        self.sink(0);
        Some(first)
    }

    /// Removes some matches.
    pub fn remove_if(&mut self, mut is_removed: impl FnMut(&Run) -> bool) {
        let before = self.runs.len();
        self.runs.retain(|run| !is_removed(run));
        if self.runs.len() < before {
            for place in (0..self.runs.len() / 2).rev() {
                self.sink(place);
            }
        }
    }

    /// Moves a match down until none below it begins earlier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.runs.len() {
                return;
            }
            let right = left + 1;
            let is_right =
                right < self.runs.len() && self.runs[left].start > self.runs[right].start;
            let child = if is_right { right } else { left };
            if self.runs[place].start <= self.runs[child].start {
                return;
            }
            self.runs.swap(place, child);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A match told apart by its number of rows.
    fn run(start: u64, rows: u32) -> Run {
        Run {
            start,
            rows,
            ..Run::default()
        }
    }

    #[test]
    fn matches_leave_by_their_first_row() {
        let mut queue = Queue::default();
        for start in [5_u64, 3, 9, 1, 7, 3] {
            queue.push(run(start, 1));
        }
        queue.remove_if(|run| run.start == 9);
        let mut starts = Vec::new();
        while let Some(run) = queue.pop() {
            starts.push(run.start);
        }
        assert_eq!(starts, [1, 3, 3, 5, 7]);
        assert!(queue.is_empty());
    }

    #[test]
    fn ties_are_those_of_java() {
        // As java.util.PriorityQueue of 17 does it with the same calls.
        let mut queue = Queue::default();
        for (start, rows) in [(2, 1), (2, 2), (1, 3), (2, 4), (1, 5)] {
            queue.push(run(start, rows));
        }
        let rows = |queue: &Queue| queue.iter().map(|run| run.rows).collect::<Vec<u32>>();
        assert_eq!(rows(&queue), [3, 5, 1, 4, 2]);
        queue.remove_if(|run| run.rows == 3);
        assert_eq!(rows(&queue), [5, 1, 4, 2]);
        assert_eq!(queue.pop().map(|run| run.rows), Some(5));
        assert_eq!(rows(&queue), [2, 1, 4]);
    }
}
