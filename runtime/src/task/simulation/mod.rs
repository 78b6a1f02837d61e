//! A statement in a world where everything happens by one seed.
//!
//! Enters: a seed. Leaves: `Ok`, or what was wrong and how to see it again. The real deployer, slots, supervisor, checkpoint store and
//! committer run on one thread, over a model of Kafka and objects in memory; `world` picks who does the next thing and what goes wrong, within what `shape` allows,
//! `process` is one life of the server, `statement` what it runs and what must come out.
//!
//! A call that waits for the outside world lets others act in its middle: the world takes further turns before and after every
//! request, so that two processes, and a process's slots and supervisor, interleave as they do on threads.

mod objects;
mod process;
mod shape;
mod statement;
#[cfg(test)]
mod tests;
mod within;
mod world;
