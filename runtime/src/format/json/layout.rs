//! How the members of a record are written, remembered for the next one.
//!
//! Place in the flow: `decoder` asks for the value that comes next in a record. Invariant: a layout is a guess that is checked byte by
//! byte; whatever it says, a member is the one that the record has there.

use hashbrown::HashMap;

use crate::format::column::Names;
use crate::format::json::scan;

/// Bytes of fixed text in a layout that is remembered: guess, unmeasured.
const LAYOUT_BYTES_MAX: usize = 64 * 1024;

/// Members that were not where they were expected before a layout is learned anew. Learning costs about as much as decoding, so that records
/// without an order lose little by it, and records of a new order are read slowly only for a moment. Guess, unmeasured.
const SURPRISES_MAX: usize = 64;

/// The fixed text of a record with holes for its values.
#[derive(Debug)]
pub(super) struct Layout {
    /// Text before each value and behind the last: braces, keys, colons, commas and white space.
    text: Vec<u8>,
    /// Values in order.
    holes: Vec<Hole>,
    /// The hole of each key.
    by_key: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    /// Members that were not where they were expected since the layout was learned.
    surprises: usize,
}

/// A value of a record.
#[derive(Debug, Clone, Copy)]
struct Hole {
    /// Start of the fixed text before it.
    start: usize,
    /// End of that text.
    end: usize,
    /// That text, when it is short enough to be compared at once.
    block: Option<Block>,
    /// Where the value goes; absent when it is not asked for.
    column: Option<usize>,
}

/// A member of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// The place of its value.
    pub(super) value: usize,
    /// Where the value goes; absent when it is not asked for.
    pub(super) column: Option<usize>,
}

/// What follows in a record where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surprise {
    /// A member, and the hole that is likely to follow.
    Member(Member, usize),
    /// The end of the record.
    End,
}

/// A text of at most [`BLOCK`] bytes.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The text, zeros behind it.
    text: u128,
    /// All bits of the bytes that are text.
    mask: u128,
}

/// Bytes of the longest text that is compared at once: most texts between values are no longer.
const BLOCK: usize = 16;

impl Default for Layout {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            holes: Vec::new(),
            by_key: HashMap::default(),
            // The first record is learned.
            surprises: SURPRISES_MAX,
        }
    }
}

impl Layout {
    /// The member of a hole, if it is at `at`; that of the first hole is only asked for where a record begins.
    #[inline]
    pub(super) fn expected(&self, hole: usize, record: &[u8], at: usize) -> Option<Member> {
        let hole = self.holes.get(hole)?;
        hole.is_at(&record[at..], &self.text).then(|| Member {
            value: at + (hole.end - hole.start),
            column: hole.column,
        })
    }

    /// What is at `at`, where hole number `hole` was expected; `None` for what must be read exactly, if it is JSON at all.
    #[inline(never)]
    pub(super) fn surprise(
        &mut self,
        hole: usize,
        record: &[u8],
        at: usize,
        names: &Names,
    ) -> Option<Surprise> {
        let is_first = at == 0;
        let mut place = scan::skip_space(record, at);
        match record.get(place)? {
            b'{' if is_first => place = scan::skip_space(record, place + 1),
            b',' if !is_first => place = scan::skip_space(record, place + 1),
            b'}' if !is_first => return end_at(record, place + 1),
            _ => return None,
        }
        match record.get(place)? {
            b'"' => {}
            b'}' if is_first => return end_at(record, place + 1),
            _ => return None,
        }
        let end = scan::plain_end(record, place + 1);
        if record.get(end) != Some(&b'"') {
            return None;
        }
        let key = &record[place + 1..end];
        let colon = scan::skip_space(record, end + 1);
        if record.get(colon) != Some(&b':') {
            return None;
        }
        self.surprises += 1;
        let value = scan::skip_space(record, colon + 1);
        let (column, next) = match self.by_key.get(key) {
            Some(found) => (self.holes[*found].column, found + 1),
            // The text before the first hole has the opening brace, so nothing but the first member can be there.
            None => (names.position(key, 0), hole.max(1)),
        };
        Some(Surprise::Member(Member { value, column }, next))
    }

    /// Learns from a record that was read without a fault, if too much was not as expected lately.
    #[inline]
    pub(super) fn keep_up(&mut self, record: &[u8], names: &Names) {
        if self.surprises >= SURPRISES_MAX {
            self.learn(record, names);
        }
    }

    /// Remembers how a record looks whose keys are all different and without escapes.
    fn learn(&mut self, record: &[u8], names: &Names) {
        let mut text = Vec::new();
        let mut holes = Vec::new();
        let mut by_key = HashMap::default();
        let mut last_end = 0;
        let at = scan::skip_space(record, 0);
        // All three are bounded by the record.
        let walked = scan::walk_object(record, at, 0, |key, value| {
            let start = text.len();
            text.extend_from_slice(&record[last_end..value]);
            let key = &record[key + 1..scan::plain_end(record, key + 1)];
            by_key.insert(key.into(), holes.len());
            holes.push(Hole {
                start,
                end: text.len(),
                block: Block::of(&text[start..]),
                column: names.position(key, holes.len()),
            });
            last_end = scan::skip_value(record, value, 1).unwrap_or(value);
        });
        *self = Self {
            text,
            holes,
            by_key,
            surprises: 0,
        };
        // The limit keeps one odd record from being remembered.
        if walked.is_err() || self.text.len() > LAYOUT_BYTES_MAX {
            self.text.clear();
            self.holes.clear();
            self.by_key.clear();
        }
    }
}

impl Hole {
    /// Whether bytes begin with the text before the hole.
    #[inline]
    fn is_at(&self, bytes: &[u8], text: &[u8]) -> bool {
        if let Some(block) = &self.block
            && let Some(bytes) = bytes.first_chunk()
        {
            return (u128::from_le_bytes(*bytes) ^ block.text) & block.mask == 0;
        }
        bytes.starts_with(&text[self.start..self.end])
    }
}

impl Block {
    /// The block of a text; absent when it is too long.
    fn of(text: &[u8]) -> Option<Self> {
        let (mut bytes, mut mask) = ([0; BLOCK], [0; BLOCK]);
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        mask[..text.len()].fill(u8::MAX);
        Some(Self {
            text: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
        })
    }
}

/// The end of a record, if nothing but white space follows.
fn end_at(record: &[u8], at: usize) -> Option<Surprise> {
    (scan::skip_space(record, at) == record.len()).then_some(Surprise::End)
}
