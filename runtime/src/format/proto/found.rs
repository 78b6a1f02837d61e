//! The fields of a message on the wire.
//!
//! Place in the flow: `read` finds the fields that are asked for, then appends them. Invariant: of a number or string the last counts, of a
//! oneof the last field; parts of a message are kept in their order; there are no more values than the record has bytes.
//!
//! # Source
//! Protocol Buffers, "Encoding": last one wins, merged messages.

use std::borrow::Cow;

use crate::format::column::Fault;
use crate::format::proto::plan::{Field, Message, Wire};
use crate::format::proto::wire::{Input, Raw, malformed};

/// No value.
pub(super) const NONE: u32 = u32::MAX;

/// The values that a field has in the message at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The first, or [`NONE`].
    pub(super) first: u32,
    /// The last.
    pub(super) last: u32,
}

/// Where the fields of one message begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Its first slot.
    slots: usize,
    /// Its first value.
    values: usize,
}

/// A value that was found.
#[derive(Debug)]
struct Place {
    /// A number, or the place of bytes in their message.
    bits: u64,
    /// The length of bytes.
    length: usize,
    /// How it is on the wire.
    kind: PlaceKind,
    /// The next value of the same field, or [`NONE`].
    next: u32,
}

/// How a value that was found is on the wire.
#[derive(Debug, Clone, Copy)]
enum PlaceKind {
    /// A varint.
    Varint,
    /// Four bytes.
    Fixed32,
    /// Eight bytes.
    Fixed64,
    /// Bytes.
    Bytes,
    /// A group.
    Group,
}

/// The fields that were found, of the message at hand and of those around it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Values by field.
    slots: Vec<Slot>,
    /// The values.
    values: Vec<Place>,
}

impl Found {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.values.clear();
    }

    /// Forgets the fields of a message and of those in it.
    pub(super) fn leave(&mut self, level: Level) {
        self.slots.truncate(level.slots);
        self.values.truncate(level.values);
    }

    /// The values of a field.
    pub(super) fn slot(&self, level: Level, slot: usize) -> Slot {
        self.slots[level.slots + slot]
    }

    /// Finds the fields of a message.
    pub(super) fn fill(&mut self, message: &Message, bytes: &[u8]) -> Result<Level, Fault> {
        let base = self.slots.len();
        let level = Level {
            slots: base,
            values: self.values.len(),
        };
        let none = Slot {
            first: NONE,
            last: NONE,
        };
        self.slots.resize(base + message.fields.len(), none);
        let mut input = Input::new(bytes);
        let mut guess = 0;
        while !input.is_empty() {
            let (number, raw) = input.field()?;
            let is_it = |field: &Field| field.number == number;
            let slot = if message.fields.get(guess).is_some_and(is_it) {
                guess
            } else if let Ok(slot) = message.fields.binary_search_by_key(&number, |f| f.number) {
                slot
            } else {
                continue;
            };
            // Fields mostly come in the order of their numbers; elements come one behind the other.
            let field = &message.fields[slot];
            if !takes(&field.wire, raw) {
                continue;
            }
            for other in &field.others {
                self.slots[base + other] = none;
            }
            let is_last = matches!(field.wire, Wire::Last(_));
            self.note(base + slot, place_of(raw, bytes), is_last)?;
            guess = if is_last { slot + 1 } else { slot };
        }
        Ok(level)
    }

    /// Notes a value of a field, as its only one or behind the others.
    fn note(&mut self, slot: usize, place: Place, is_only: bool) -> Result<(), Fault> {
        let slot = &mut self.slots[slot];
        if is_only && slot.first != NONE {
            self.values[index(slot.first)] = place;
            return Ok(());
        }
        let at = u32::try_from(self.values.len())
            .ok()
            .filter(|at| *at != NONE)
            .ok_or_else(|| malformed("more values than can be counted"))?;
        self.values.push(place);
        if slot.first == NONE {
            slot.first = at;
        } else {
            self.values[index(slot.last)].next = at;
        }
        slot.last = at;
        Ok(())
    }

    /// The value at a place.
    pub(super) fn raw<'b>(&self, at: u32, bytes: &'b [u8]) -> Raw<'b> {
        let place = &self.values[index(at)];
        let [a, b, c, d, ..] = place.bits.to_le_bytes();
        match place.kind {
            PlaceKind::Varint => Raw::Varint(place.bits),
            PlaceKind::Fixed32 => Raw::Fixed32(u32::from_le_bytes([a, b, c, d])),
            PlaceKind::Fixed64 => Raw::Fixed64(place.bits),
            PlaceKind::Group => Raw::Group,
            PlaceKind::Bytes => {
                let start = usize::try_from(place.bits).unwrap_or(usize::MAX);
                let end = start.saturating_add(place.length);
                // It was found in these bytes.
                Raw::Bytes(bytes.get(start..end).unwrap_or_default())
            }
        }
    }

    /// The value behind one.
    pub(super) fn next(&self, at: u32) -> u32 {
        self.values[index(at)].next
    }

    /// The bytes of a message, of which there may be several parts.
    pub(super) fn message<'b>(&self, slot: Slot, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let part = |at| match self.raw(at, bytes) {
            Raw::Bytes(part) => part,
            Raw::Varint(_) | Raw::Fixed32(_) | Raw::Fixed64(_) | Raw::Group => &[],
        };
        if slot.first == slot.last {
            return Cow::Borrowed(part(slot.first));
        }
        // Parts one behind the other are the message that they merge to.
        let mut merged = Vec::new();
        let mut at = slot.first;
        while at != NONE {
            merged.extend_from_slice(part(at));
            at = self.next(at);
        }
        Cow::Owned(merged)
    }
}

/// A place in the values.
fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// A value as a place in the bytes of its message.
fn place_of(raw: Raw<'_>, bytes: &[u8]) -> Place {
    let (kind, bits, length) = match raw {
        Raw::Varint(bits) => (PlaceKind::Varint, bits, 0),
        Raw::Fixed32(bits) => (PlaceKind::Fixed32, bits.into(), 0),
        Raw::Fixed64(bits) => (PlaceKind::Fixed64, bits, 0),
        Raw::Group => (PlaceKind::Group, 0, 0),
        Raw::Bytes(part) => {
            let start = part.as_ptr().addr() - bytes.as_ptr().addr();
            let start = u64::try_from(start).unwrap_or(u64::MAX);
            (PlaceKind::Bytes, start, part.len())
        }
    };
    Place {
        bits,
        length,
        kind,
        next: NONE,
    }
}

/// Whether a value is of the field's type; others are as unknown fields.
fn takes(wire: &Wire, raw: Raw<'_>) -> bool {
    match wire {
        Wire::Last(scalar) => scalar.cell(raw).is_some(),
        // Packed, or an element.
        Wire::Every(scalar) => matches!(raw, Raw::Bytes(_)) || scalar.cell(raw).is_some(),
        Wire::Messages => matches!(raw, Raw::Bytes(_)),
        Wire::Group => matches!(raw, Raw::Group),
    }
}
