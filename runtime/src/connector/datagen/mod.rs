//! Random rows, as Flink's `datagen` makes them.
