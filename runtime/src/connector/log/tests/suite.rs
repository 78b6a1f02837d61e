//! The suite that every system with transactions passes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::testing::committer::CASES;
use crate::testing::{Harness, Run, Seen};

/// A store, opened anew when a run is killed.
#[derive(Debug)]
struct Log {
    dir: TempDir,
    store: std::cell::RefCell<Option<Arc<LogStore>>>,
    topics: AtomicUsize,
    /// Whether a killed run takes the process with it.
    reopens: bool,
}

impl Log {
    fn store(&self) -> Arc<LogStore> {
        let mut store = self.store.borrow_mut();
        Arc::clone(store.get_or_insert_with(|| open(&self.dir)))
    }
}

impl Harness for Log {
    fn create_topic(&self) -> crate::Result<String> {
        let name = format!("t{}", self.topics.fetch_add(1, Ordering::Relaxed));
        self.store().create_topic(&name, config(3))?;
        Ok(name)
    }

    fn sink(&self, topic: &str) -> crate::Result<Box<dyn Sink>> {
        Ok(Box::new(LogSink::new(&self.store(), topic)?))
    }

    fn committed(&self, topic: &str) -> crate::Result<Vec<Seen>> {
        let store = self.store();
        let mut seen = Vec::new();
        for partition in 0..3 {
            let mut next = 0;
            loop {
                let batch = store.read(topic, partition, next, 1 << 20, 1000)?;
                let Some(last) = batch.offsets.last() else {
                    break;
                };
                next = last + 1;
                for (_, record) in owned_rows(&batch) {
                    let text = |bytes: Option<Vec<u8>>| {
                        String::from_utf8(bytes.unwrap_or_default()).unwrap()
                    };
                    seen.push(Seen {
                        key: text(record.key),
                        value: text(record.value),
                    });
                }
            }
        }
        Ok(seen)
    }

    fn kill(&self, run: Run) -> crate::Result<()> {
        drop(run);
        if self.reopens {
            self.store.take();
        }
        Ok(())
    }
}

#[test]
fn the_committer_suite_passes() {
    for reopens in [false, true] {
        for (name, case) in CASES {
            let log = Log {
                dir: TempDir::new().unwrap(),
                store: std::cell::RefCell::default(),
                topics: AtomicUsize::default(),
                reopens,
            };
            if let Err(error) = case(&log) {
                panic!("{name}, reopened: {reopens}: {error}");
            }
        }
    }
}
