//! What a temporal join knows of each key.
//!
//! Place in the flow: values of the table behind it. Invariant: numbers grow from left row to left row while any of them waits.

use super::super::timers::NOT_SET;
use crate::error::Result;
use crate::state::codec::{Reader, Writer};
use crate::state::{Values, column};
use crate::time::EpochMillis;

/// What is known of keys, by id.
#[derive(Debug, Default)]
pub(super) struct KeyStates {
    /// When the timer of the key goes off, or `NOT_SET`.
    timers_ms: Vec<EpochMillis>,
    /// The number of the next left row.
    numbers: Vec<u64>,
}

impl KeyStates {
    /// When the timer of a key goes off, or `NOT_SET`.
    pub(super) fn timer_ms(&self, id: u32) -> EpochMillis {
        self.timers_ms[id as usize]
    }

    /// Notes when the timer of a key goes off.
    pub(super) fn set_timer_ms(&mut self, id: u32, time_ms: EpochMillis) {
        self.timers_ms[id as usize] = time_ms.min(NOT_SET - 1);
    }

    /// The number of a left row that comes now.
    pub(super) fn next_number(&mut self, id: u32) -> u64 {
        let next = &mut self.numbers[id as usize];
        *next += 1;
        *next
    }
}

impl Values for KeyStates {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.timers_ms, len, NOT_SET);
        column::resize(&mut self.numbers, len, 0);
    }

    fn clear(&mut self, id: u32) {
        self.timers_ms[id as usize] = NOT_SET;
        self.numbers[id as usize] = 0;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.timers_ms[id as usize]);
        out.put_i64(self.numbers[id as usize].cast_signed());
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.timers_ms[id as usize] = input.i64()?;
        self.numbers[id as usize] = input.i64()?.cast_unsigned();
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.timers_ms.capacity() * size_of::<EpochMillis>()
            + self.numbers.capacity() * size_of::<u64>()
    }
}
