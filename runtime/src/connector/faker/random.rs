//! The random numbers of one value.
//!
//! Place in the flow: directives draw from it. Invariant: the same column and row give the same numbers.

use std::convert::Infallible;

use rand::TryRng;

use crate::connector::generator::{random, uniform};

/// Draws the random numbers of one row of one column.
#[derive(Debug)]
pub(super) struct RowRandom {
    /// Makes the numbers of different rows and columns differ.
    seed: u64,
    /// Numbers drawn.
    drawn: u64,
}

impl RowRandom {
    /// The numbers of a row of a column.
    pub(super) fn new(column_seed: u64, row: u64) -> Self {
        Self {
            seed: random(column_seed, row),
            drawn: 0,
        }
    }

    /// The next number.
    pub(super) fn draw(&mut self) -> u64 {
        let number = random(self.seed, self.drawn);
        self.drawn += 1;
        number
    }

    /// A uniform integer between both, inclusive.
    pub(super) fn between(&mut self, min: i64, max: i64) -> i64 {
        uniform(self.draw(), min, max)
    }

    /// An index below `len`, which is not 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        let last = i64::try_from(len).unwrap_or(i64::MAX) - 1;
        usize::try_from(self.between(0, last)).unwrap_or(0)
    }

    /// One of some values, of which there is at least one.
    pub(super) fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.index(values.len())]
    }
}

impl TryRng for RowRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The upper half, which is the better mixed one.
        Ok(u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.draw().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}
