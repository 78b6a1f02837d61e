//! Which parts of which segments are read together, and in which order they are handed over.
//!
//! Place in the flow: [`super::CheckpointStore`] asks for the requests of the chains it loads and sends them with [`in_order`].
//! Invariant: the slices of one chain are delivered oldest first, each after its checksum was found good; bytes in memory are bounded
//! by the options, or by the largest slice.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::checkpoint::store::options::TransferOptions;
use crate::checkpoint::store::segment::Slice;
use crate::error::{Error, Result};

/// Unwanted bytes between two slices that are read rather than asked around.
///
/// # Source
/// Guess, unmeasured: a request to an object store takes as long as some hundred KiB.
const GAP_BYTES_MAX: u64 = 64 << 10;

/// A chain to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain<'a> {
    /// What the caller knows it by: a key group, or an index.
    pub(super) id: u32,
    /// Its slices, oldest first.
    pub(super) slices: &'a [Slice],
}

/// A slice to be read, and of which chain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// [`Chain::id`].
    pub(super) id: u32,
    /// Where it is.
    pub(super) slice: &'a Slice,
}

/// Neighbouring slices of one segment that are read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// The object.
    pub(super) segment: &'a str,
    /// The bytes, from the first slice to the last.
    pub(super) range: Range<u64>,
    /// The slices, by offset.
    pub(super) parts: Vec<Part<'a>>,
}

impl<'a> Request<'a> {
    /// A request of one slice.
    fn of(part: Part<'a>) -> Self {
        Self {
            segment: &part.slice.segment,
            range: part.slice.offset..part.slice.end(),
            parts: vec![part],
        }
    }

    /// Bytes asked for.
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Adds the next slice if it is near enough and the sum small enough.
    fn try_add(&mut self, part: Part<'a>, bytes_max: u64) -> bool {
        let slice = part.slice;
        let end = self.range.end.max(slice.end());
        let fits = slice.offset <= self.range.end.saturating_add(GAP_BYTES_MAX)
            && end - self.range.start <= bytes_max;
        if fits {
            self.range.end = end;
            self.parts.push(part);
        }
        fits
    }

    /// The bytes of each slice, once all have passed their checksums.
    ///
    /// # Errors
    /// `Corrupt`, naming the part of the object.
    pub(super) fn split(&self, bytes: &Bytes) -> Result<Vec<(Part<'a>, Bytes)>> {
        let part_bytes = |part: &Part<'a>| {
            let at = |offset: u64| {
                usize::try_from(offset - self.range.start).map_or(bytes.len(), |at| at)
            };
            let start = at(part.slice.offset).min(bytes.len());
            let end = at(part.slice.end()).min(bytes.len());
            let found = bytes.slice(start..end.max(start));
            part.slice.check(&found)?;
            Ok((*part, found))
        };
        self.parts.iter().map(part_bytes).collect()
    }
}

/// The requests that read chains, in the order in which they must be delivered: all first slices, then all second ones, and so on,
/// each round by segment. Slices of one epoch lie side by side, so most rounds take few requests.
pub(super) fn requests<'a>(
    chains: impl IntoIterator<Item = Chain<'a>>,
    options: &TransferOptions,
) -> Vec<Request<'a>> {
    let mut rounds: BTreeMap<(usize, &str), Vec<Part<'a>>> = BTreeMap::new();
    for chain in chains {
        for (depth, slice) in chain.slices.iter().enumerate() {
            let id = chain.id;
            rounds
                .entry((depth, &slice.segment))
                .or_default()
                .push(Part { id, slice });
        }
    }
    let mut requests: Vec<Request<'a>> = Vec::new();
    for mut parts in rounds.into_values() {
        parts.sort_by_key(|part| part.slice.offset);
        let mut open: Option<Request<'a>> = None;
        for part in parts {
            let is_added = open
                .as_mut()
                .is_some_and(|request| request.try_add(part, options.request_bytes));
            if !is_added {
                requests.extend(open.replace(Request::of(part)));
            }
        }
        requests.extend(open);
    }
    requests
}

/// The next requests that are sent together: half of what may be under way, since the half before them is being delivered.
fn batch_len(requests: &[Request<'_>], options: &TransferOptions) -> usize {
    let mut bytes = 0_u64;
    let fitting = requests
        .iter()
        .take(options.parallelism.div_ceil(2))
        .take_while(|request| {
            bytes = bytes.saturating_add(request.len());
            bytes <= options.ahead_bytes / 2
        });
    fitting.count().max(1)
}

/// Fetches requests, some at a time on threads of their own, and delivers the answers in order on the calling thread. With a
/// parallelism of 1 everything happens on the calling thread, which is what a simulation needs.
///
/// # Errors
/// The first error in the order of the requests, or of `deliver`.
pub(super) fn in_order<'a, T: Send>(
    requests: &[Request<'a>],
    options: &TransferOptions,
    fetch: &(dyn Fn(&Request<'a>) -> Result<T> + Sync),
    deliver: &mut dyn FnMut(T) -> Result<()>,
) -> Result<()> {
    if options.parallelism <= 1 || requests.len() <= 1 {
        return requests
            .iter()
            .try_for_each(|request| deliver(fetch(request)?));
    }
    std::thread::scope(|scope| {
        let mut under_way = Vec::new();
        let mut rest = requests;
        loop {
            let next = rest.split_at(if rest.is_empty() {
                0
            } else {
                batch_len(rest, options)
            });
            let (batch, after) = next;
            rest = after;
            let started: Vec<_> = batch
                .iter()
                .map(|request| scope.spawn(move || fetch(request)))
                .collect();
            for answer in std::mem::replace(&mut under_way, started) {
                let answer = answer
                    .join()
                    .map_err(|_| Error::internal("a thread that reads checkpoints panicked"))?;
                deliver(answer?)?;
            }
            if under_way.is_empty() {
                return Ok(());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slice.
    fn slice(segment: &str, offset: u64, len: u64) -> Slice {
        Slice {
            segment: segment.into(),
            offset,
            len,
            crc: 0,
        }
    }

    #[test]
    fn neighbours_are_read_together_and_chains_oldest_first() {
        let options = TransferOptions {
            request_bytes: 1000,
            ..TransferOptions::default()
        };
        let chains = [
            vec![slice("b", 0, 400), slice("a", 0, 10)],
            vec![slice("b", 400, 400), slice("a", 10, 10)],
            vec![slice("b", 800, 400), slice("a", 900_000, 10)],
            vec![slice("a", 20, 5000)],
        ];
        let chains = chains.iter().enumerate().map(|(id, slices)| Chain {
            id: u32::try_from(id).unwrap(),
            slices,
        });
        let requests = requests(chains, &options);
        let seen: Vec<_> = requests
            .iter()
            .map(|request| {
                let ids: Vec<u32> = request.parts.iter().map(|part| part.id).collect();
                (request.segment, request.range.clone(), ids)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a", 20..5020, vec![3]),
                ("b", 0..800, vec![0, 1]),
                ("b", 800..1200, vec![2]),
                ("a", 0..20, vec![0, 1]),
                ("a", 900_000..900_010, vec![2]),
            ]
        );
    }

    #[test]
    fn answers_come_in_order_and_the_first_error_counts() {
        let slices: Vec<Slice> = (0..40).map(|n| slice("s", n * 1_000_000, 10)).collect();
        let chains = slices.iter().enumerate().map(|(id, slice)| Chain {
            id: u32::try_from(id).unwrap(),
            slices: std::slice::from_ref(slice),
        });
        for parallelism in [1, 2, 5] {
            let options = TransferOptions {
                parallelism,
                ahead_bytes: 40,
                ..TransferOptions::default()
            };
            let requests = requests(chains.clone(), &options);
            let mut seen = Vec::new();
            let fetch = |request: &Request<'_>| match request.parts[0].id {
                id @ (30 | 33) => Err(Error::corrupt(id.to_string())),
                id => Ok(id),
            };
            let outcome = in_order(&requests, &options, &fetch, &mut |id| {
                seen.push(id);
                Ok(())
            });
            assert_eq!(outcome.unwrap_err().message, "30");
            assert_eq!(seen, (0..30).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_short_answer_is_damage() {
        let bytes = Bytes::from_static(b"abcdef");
        let slices = [slice("s", 10, 3), slice("s", 13, 3)].map(|mut slice| {
            let start = usize::try_from(slice.offset - 10).unwrap();
            slice.crc = crc32c::crc32c(&bytes[start..start + 3]);
            slice
        });
        let chains = slices.iter().map(|slice| Chain {
            id: 0,
            slices: std::slice::from_ref(slice),
        });
        let requests = requests(chains, &TransferOptions::default());
        let parts = requests[0].split(&bytes).unwrap();
        assert_eq!(parts[1].1, &b"def"[..]);
        for cut in 0..6 {
            assert!(requests[0].split(&bytes.slice(..cut)).is_err(), "{cut}");
        }
    }
}
