//! Whether a partition is worth a compaction.
//!
//! Place in the flow: a pass states facts about the closed segments and does what comes out. Invariant: pure; segments that were
//! compacted before come first, since a pass always begins at the start.

/// A compaction is due when this share of the closed bytes was never compacted: Kafka's `min.cleanable.dirty.ratio`.
const DIRTY_PERCENT: u64 = 50;

/// What is known of a closed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// How often its records were compacted at most.
    pub(super) round: u32,
    /// When deletes in it may first be forgotten.
    pub(super) delete_horizon_ms: Option<i64>,
}

/// The first segment that was never compacted, if a compaction is due; the number of segments when only deletes are forgotten.
pub(super) fn first_dirty(segments: &[Facts], now_ms: i64) -> Option<usize> {
    let first = segments
        .iter()
        .position(|facts| facts.round == 0)
        .unwrap_or(segments.len());
    let bytes = |segments: &[Facts]| segments.iter().map(|facts| facts.bytes).sum::<u64>();
    let dirty = bytes(&segments[first..]);
    let forgets = segments.iter().any(|facts| {
        facts
            .delete_horizon_ms
            .is_some_and(|horizon| horizon <= now_ms)
    });
    let due = dirty > 0 && dirty.saturating_mul(100) >= bytes(segments) * DIRTY_PERCENT;
    (due || forgets).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(bytes: u64, round: u32) -> Facts {
        Facts {
            bytes,
            round,
            delete_horizon_ms: None,
        }
    }

    #[test]
    fn half_of_the_bytes_have_to_be_new() {
        assert_eq!(first_dirty(&[], 0), None);
        assert_eq!(first_dirty(&[facts(10, 0)], 0), Some(0));
        assert_eq!(first_dirty(&[facts(10, 1)], 0), None);
        assert_eq!(first_dirty(&[facts(11, 2), facts(10, 0)], 0), None);
        let due = [facts(6, 2), facts(4, 1), facts(6, 0), facts(4, 0)];
        assert_eq!(first_dirty(&due, 0), Some(2));
    }

    #[test]
    fn deletes_are_forgotten_when_their_time_has_come() {
        let mut segments = [facts(10, 1), facts(2, 0)];
        segments[0].delete_horizon_ms = Some(5);
        assert_eq!(first_dirty(&segments, 4), None);
        assert_eq!(first_dirty(&segments, 5), Some(1));
        assert_eq!(first_dirty(&segments[..1], 5), Some(1));
    }
}
