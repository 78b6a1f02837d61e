//! Bytes that need no memory of their own while they are few.
//!
//! Place in the flow: the rows of a chunk in [`super::chunks`]. Invariant: what does not fit in is on the heap, and comes back in with
//! [`SmallBytes::shrink`] only.

use std::ops::{Deref, DerefMut, Range};

/// Bytes that fit in: with what a chunk knows besides they fill a cache line. Two rows of two BIGINT do.
const INLINE_BYTES: usize = 54;

/// Bytes, here or on the heap.
#[derive(Debug, Clone)]
pub(super) enum SmallBytes {
    /// Here.
    Inline {
        /// How many there are.
        len: u8,
        /// They, and zeros behind them.
        bytes: [u8; INLINE_BYTES],
    },
    /// On the heap.
    Heap(Vec<u8>),
}

impl Default for SmallBytes {
    fn default() -> Self {
        Self::Inline {
            len: 0,
            bytes: [0; INLINE_BYTES],
        }
    }
}

impl Deref for SmallBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for SmallBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Inline { len, bytes } => &mut bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl SmallBytes {
    /// None, with room for `len` bytes.
    pub(super) fn with_capacity(len: usize) -> Self {
        if len <= INLINE_BYTES {
            Self::default()
        } else {
            Self::Heap(Vec::with_capacity(len))
        }
    }

    /// Appends `count` zeros, which are returned to be written.
    pub(super) fn grow(&mut self, count: usize) -> &mut [u8] {
        let start = self.len();
        let end = start + count;
        match self {
            // At most INLINE_BYTES, which fit.
            Self::Inline { len, .. } if end <= INLINE_BYTES => {
                *len = u8::try_from(end).unwrap_or(u8::MAX);
            }
            Self::Inline { .. } => {
                let mut heap = Vec::with_capacity(end);
                heap.extend_from_slice(self);
                heap.resize(end, 0);
                *self = Self::Heap(heap);
            }
            Self::Heap(heap) => heap.resize(end, 0),
        }
        &mut self[start..]
    }

    /// Takes some out.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let left = self.len() - range.len();
        match self {
            Self::Inline { len, bytes } => {
                bytes.copy_within(range.end..usize::from(*len), range.start);
                bytes[left..].fill(0);
                *len = u8::try_from(left).unwrap_or(0);
            }
            Self::Heap(heap) => drop(heap.drain(range)),
        }
    }

    /// Gives back memory that is not needed.
    pub(super) fn shrink(&mut self) {
        let Self::Heap(heap) = self else {
            return;
        };
        if heap.len() > INLINE_BYTES {
            heap.shrink_to_fit();
            return;
        }
        let mut inline = Self::default();
        inline.grow(heap.len()).copy_from_slice(heap);
        *self = inline;
    }

    /// Bytes of the heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(heap) => heap.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// They are what a vector would be, whatever is appended and taken out.
        #[test]
        fn they_are_what_a_vector_would_be(changes in prop::collection::vec((0usize..40, 0usize..200), 0..60)) {
            let (mut bytes, mut model) = (SmallBytes::default(), Vec::new());
            for (number, (count, place)) in (0u8..).zip(changes) {
                match number % 3 {
                    0 | 1 => {
                        bytes.grow(count).fill(number);
                        model.resize(model.len() + count, number);
                    }
                    _ => {
                        let start = place.min(model.len());
                        let end = (start + 2 * count).min(model.len());
                        bytes.remove(start..end);
                        model.drain(start..end);
                        if count % 2 == 0 {
                            bytes.shrink();
                            prop_assert_eq!(bytes.heap_bytes() > 0, model.len() > INLINE_BYTES);
                        }
                    }
                }
                prop_assert_eq!(&bytes[..], &model[..]);
                let new = bytes.grow(3);
                prop_assert_eq!(&*new, &[0; 3]);
                new.fill(9);
                bytes.remove(model.len()..model.len() + 3);
            }
        }
    }
}
