//! Places at which tests end the process.
//!
//! Place in the flow: called at the moments of the commit protocol that matter. Invariant: nothing happens unless the program was built
//! with debug assertions and the environment names a point, so that no user's process can be ended this way by accident.
//!
//! `WEIR_CRASH_POINT=NAME:N` ends the process, as `kill -9` would, when the point is passed for the Nth time.

/// Ends the process when the environment says so.
pub(crate) fn point(name: &str) {
    if cfg!(debug_assertions) {
        armed::pass(name);
    }
}

/// What the environment asks for.
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The point to crash at, and the passes left.
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

    /// Reads the environment once.
    fn armed() -> Option<&'static (String, AtomicU64)> {
        let read = || {
            #[expect(
                clippy::disallowed_methods,
                reason = "a test's switch, which is no setting of the program"
            )]
            let text = std::env::var("WEIR_CRASH_POINT").ok()?;
            let (name, passes) = text.split_once(':')?;
            Some((name.to_owned(), AtomicU64::new(passes.parse().ok()?)))
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Passes a point.
    pub(super) fn pass(name: &str) {
        let Some((armed, left)) = armed() else {
            return;
        };
        if armed == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::error!(name, "crash point");
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap_or_else(|_| std::process::abort());
        }
    }
}
