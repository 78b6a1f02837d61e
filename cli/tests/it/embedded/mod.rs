//! The program with its embedded log, from the outside.
//!
//! Place in the flow: needs no component. Invariant: topics are written through the records API and read with SQL, as users do.

mod avro;
mod changes;
mod damage;
mod drill;
mod kill;
mod late;
mod registry;
mod statements;
