//! The matches of each partition as state.
//!
//! Place in the flow: the values of the operator's table. Invariant: of a partition with a match there are all rows from the first of its
//! earliest match on, and a partition without one is not kept.
//!
//! Stored per partition: whether there is a timer and its time; the number of the first row, the count of rows, each row; partial and
//! complete matches in the order of their heaps, each as state, first row, its time, rows, and the rows before each variable's first.

use std::collections::VecDeque;

use super::automaton::{Matching, NOT_STARTED, Run};
use super::queue::Queue;
use crate::error::{Error, Result};
use crate::state::codec::{Reader, Writer};
use crate::state::{Values, column};
use crate::time::EpochMillis;

/// The matches of a partition, and their rows.
#[derive(Debug)]
pub(super) struct Partition {
    /// The matches.
    pub(super) matching: Matching,
    /// The number of the first row.
    pub(super) first_row: u64,
    /// The kept columns of the rows, encoded.
    pub(super) rows: VecDeque<Box<[u8]>>,
    /// When its timer is due; absent without one.
    pub(super) timer_ms: Option<EpochMillis>,
}

impl Partition {
    /// The number of the next row.
    pub(super) fn next_row(&self) -> u64 {
        self.first_row
            .saturating_add(u64::try_from(self.rows.len()).unwrap_or(u64::MAX))
    }

    /// Memory apart from itself, in bytes.
    fn heap_bytes(&self) -> usize {
        let rows: usize = self
            .rows
            .iter()
            .map(|row| row.len() + size_of::<Box<[u8]>>())
            .sum();
        let runs = self
            .matching
            .partial
            .iter()
            .chain(self.matching.complete.iter());
        let runs: usize = runs
            .map(|run| size_of::<Run>() + run.bounds.len() * size_of::<u32>())
            .sum();
        size_of::<Self>() + rows + runs
    }
}

/// The matches of each partition, by id.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// The matches; absent while the operator has them.
    by_id: Vec<Option<Box<Partition>>>,
    /// Their memory, bytes.
    bytes: usize,
    /// States of the pattern.
    states: usize,
}

impl Partitions {
    /// Partitions of a pattern with some states.
    pub(super) fn new(states: usize) -> Self {
        Self {
            states,
            ..Self::default()
        }
    }

    /// Takes the matches of a partition; absent for a new one.
    pub(super) fn take(&mut self, id: u32) -> Option<Box<Partition>> {
        let partition = self.by_id[id as usize].take()?;
        self.bytes -= partition.heap_bytes();
        Some(partition)
    }

    /// Puts the matches of a partition back.
    pub(super) fn put(&mut self, id: u32, partition: Box<Partition>) {
        self.bytes += partition.heap_bytes();
        self.by_id[id as usize] = Some(partition);
    }

    /// Reads a match.
    fn read_run(&self, input: &mut Reader<'_>) -> Result<Run> {
        let state = u16::try_from(input.u32()?);
        let state = state.map_err(|_| Error::corrupt("a state past those of the pattern"))?;
        if usize::from(state) >= self.states && state != u16::MAX {
            return Err(Error::corrupt("a state past those of the pattern"));
        }
        let start = input.i64()?.cast_unsigned();
        let start_ms = input.i64()?;
        let rows = input.u32()?;
        let bounds = input.u32()?;
        let bounds = (0..bounds).map(|_| input.u32()).collect::<Result<_>>()?;
        Ok(Run {
            state,
            start,
            start_ms,
            rows,
            bounds,
        })
    }

    /// Reads matches.
    fn read_queue(&self, input: &mut Reader<'_>) -> Result<Queue> {
        let mut queue = Queue::default();
        for _ in 0..input.u32()? {
            queue.push(self.read_run(input)?);
        }
        Ok(queue)
    }
}

/// Writes matches in the order of their heap, which is the heap again when they are added in it.
fn write_queue(queue: &Queue, out: &mut Vec<u8>) {
    out.put_u32(u32::try_from(queue.len()).unwrap_or(u32::MAX));
    for run in queue.iter() {
        out.put_u32(u32::from(run.state));
        out.put_i64(run.start.cast_signed());
        out.put_i64(run.start_ms);
        out.put_u32(run.rows);
        out.put_u32(u32::try_from(run.bounds.len()).unwrap_or(u32::MAX));
        run.bounds.iter().for_each(|bound| out.put_u32(*bound));
    }
}

impl Values for Partitions {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.by_id, len, || None);
    }

    fn clear(&mut self, id: u32) {
        drop(self.take(id));
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let Some(partition) = &self.by_id[id as usize] else {
            return;
        };
        out.put_u8(u8::from(partition.timer_ms.is_some()));
        out.put_i64(partition.timer_ms.unwrap_or_default());
        out.put_i64(partition.first_row.cast_signed());
        out.put_u32(u32::try_from(partition.rows.len()).unwrap_or(u32::MAX));
        partition.rows.iter().for_each(|row| out.put_bytes(row));
        write_queue(&partition.matching.partial, out);
        write_queue(&partition.matching.complete, out);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let has_timer = input.u8()? != 0;
        let timer_ms = input.i64()?;
        let first_row = input.i64()?.cast_unsigned();
        let mut rows = VecDeque::new();
        for _ in 0..input.u32()? {
            rows.push_back(input.bytes()?.into());
        }
        let matching = Matching {
            partial: self.read_queue(input)?,
            complete: self.read_queue(input)?,
        };
        let partition = Partition {
            matching,
            first_row,
            rows,
            timer_ms: has_timer.then_some(timer_ms),
        };
        let rows = partition.first_row..partition.next_row();
        let runs = partition.matching.partial.iter();
        let is_there = |run: &Run| {
            run.start == NOT_STARTED
                || run.rows > 0
                    && rows.contains(&run.start)
                    && run.all_rows().end <= rows.end
                    && run.bounds.is_sorted()
                    && run.bounds.last().is_none_or(|bound| *bound <= run.rows)
        };
        if !runs.chain(partition.matching.complete.iter()).all(is_there) {
            return Err(Error::corrupt("a match without its rows"));
        }
        self.put(id, Box::new(partition));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.by_id.capacity() * size_of::<Option<Box<Partition>>>() + self.bytes
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A match of two variables.
    fn run(start: u64) -> Run {
        Run {
            state: 1,
            start,
            start_ms: 1_000,
            rows: 2,
            bounds: vec![0, 1],
        }
    }

    /// A partition with a match that is not complete and one that is.
    fn partition() -> Partition {
        let mut matching = Matching {
            partial: Queue::default(),
            complete: Queue::default(),
        };
        matching.partial.push(Run {
            start: NOT_STARTED,
            ..Run::default()
        });
        matching.partial.push(run(7));
        matching.complete.push(Run {
            state: u16::MAX,
            ..run(8)
        });
        Partition {
            matching,
            first_row: 7,
            rows: [b"a", b"b", b"c"].map(|row| row[..].into()).into(),
            timer_ms: Some(-5),
        }
    }

    #[test]
    fn partitions_are_read_as_they_were_written() {
        let mut partitions = Partitions::new(3);
        partitions.resize(2);
        partitions.put(1, Box::new(partition()));
        let mut bytes = Vec::new();
        partitions.write(1, &mut bytes);
        let mut read = Partitions::new(3);
        read.resize(1);
        read.read(0, &mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.heap_bytes(), partitions.heap_bytes());
        let partition = read.take(0).unwrap();
        assert_eq!(partition.matching, self::partition().matching);
        assert_eq!(partition.rows, self::partition().rows);
        assert_eq!((partition.timer_ms, partition.next_row()), (Some(-5), 10));
        assert_eq!(read.heap_bytes(), 0);
    }

    #[test]
    fn state_of_another_pattern_and_damaged_state_are_refused() {
        let mut partitions = Partitions::new(3);
        partitions.resize(1);
        partitions.put(0, Box::new(partition()));
        let mut bytes = Vec::new();
        partitions.write(0, &mut bytes);
        let mut smaller = Partitions::new(1);
        smaller.resize(1);
        let message = smaller.read(0, &mut Reader::new(&bytes)).unwrap_err();
        assert!(message.to_string().contains("a state past"), "{message}");
        for length in 0..bytes.len() {
            let mut damaged = Partitions::new(3);
            damaged.resize(1);
            assert!(damaged.read(0, &mut Reader::new(&bytes[..length])).is_err());
        }
        let mut lost = partition();
        lost.rows.clear();
        let mut partitions = Partitions::new(3);
        partitions.resize(1);
        partitions.put(0, Box::new(lost));
        let mut bytes = Vec::new();
        partitions.write(0, &mut bytes);
        let mut read = Partitions::new(3);
        read.resize(1);
        assert!(read.read(0, &mut Reader::new(&bytes)).is_err());
    }
}
