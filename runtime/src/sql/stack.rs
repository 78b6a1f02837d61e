//! Room for what recurses over a statement.
//!
//! Place in the flow: parsing and binding run inside [`with_deep_stack`]; how deeply statements nest is bounded by the parser.
//! Invariant: whoever parses or binds, from whatever thread, has room for the deepest statement that is taken.

/// Stack below which a new one is taken, bytes.
///
/// # Source
/// Measured: the deepest sub-queries that the parser takes, bound without optimisation, need between 4 and 7 MiB; chains of operators add to that.
const NEEDED_BYTES: usize = 24 << 20;

/// Size of a new stack, bytes; pages that are not touched cost nothing.
const STACK_BYTES: usize = 32 << 20;

/// Runs `work` where it may recurse deeply.
pub(super) fn with_deep_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(NEEDED_BYTES, STACK_BYTES, work)
}
