//! What librdkafka offers and the `rdkafka` crate does not: batch consume and produce, queue wake-ups, end-of-partition offsets,
//! commits that do not wait in steps, and a way back for clients that have forgotten their brokers.
//!
//! Enters: clients that the `rdkafka` crate has made. Leaves: [`Consumer`] for sources, [`Producer`] and [`Outlet`] for sinks.
//! Invariant: this folder holds all unsafe code of the crate; every native pointer is owned by a value that is dropped before the
//! client it came from, and nothing borrowed from librdkafka outlives the call that lends it.

#![expect(
    unsafe_code,
    reason = "librdkafka is a C library and its batch calls have no safe wrapper"
)]

mod bootstrap;
mod consumer;
mod offsets;
mod producer;
mod queue;
mod topic;

#[cfg(test)]
pub(super) use consumer::Headers;
pub(super) use consumer::{Consumer, Fetched, Record};
pub(super) use offsets::first_metadata;
pub(super) use producer::{Accepted, Extras, OFFER_MAX, Outgoing, Outlet, Producer, Refusal};
pub(super) use queue::Event;
