//! The warning of a statement whose checkpoints take longer than the time between two of them.
//!
//! Place in the flow: `observe` asks every few seconds. Invariant: pure; a warning that has come stays until checkpoints are clearly
//! faster again, so that it does not come and go.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_model::meter;

/// A warning that checkpoints are slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowCheckpoints {
    /// Since when, epoch milliseconds.
    pub since_ms: i64,
    /// What its user is told.
    pub message: String,
}

/// The warning after a look at the meter. It goes once a checkpoint takes half of the interval (guess, unmeasured).
pub(super) fn look(
    before: Option<&SlowCheckpoints>,
    checkpoints: &meter::Checkpoints,
    interval: Duration,
    now_ms: i64,
) -> Option<SlowCheckpoints> {
    let Some(duration) = checkpoints.last_duration_ms.map(Duration::from_millis) else {
        return before.cloned();
    };
    match before {
        Some(warning) if duration > interval / 2 => Some(warning.clone()),
        None if duration > interval => Some(SlowCheckpoints {
            since_ms: now_ms,
            message: format!(
                "a checkpoint took {duration:?}, longer than the {interval:?} between two of them: rows are committed as late as that; raise 'execution.checkpointing.interval', give the statement more CFUs or look at the place of its checkpoints"
            ),
        }),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_comes_when_checkpoints_are_slow_and_goes_when_they_are_fast() {
        let interval = Duration::from_secs(10);
        let took = |ms: u64| meter::Checkpoints {
            last_duration_ms: Some(ms),
            ..meter::Checkpoints::default()
        };
        assert_eq!(
            look(None, &meter::Checkpoints::default(), interval, 1),
            None
        );
        assert_eq!(look(None, &took(9_000), interval, 1), None);
        let warning = look(None, &took(11_000), interval, 2).unwrap();
        assert_eq!(warning.since_ms, 2);
        assert!(warning.message.contains("11s"), "{}", warning.message);
        assert_eq!(
            look(Some(&warning), &took(9_000), interval, 3),
            Some(warning.clone())
        );
        assert_eq!(look(Some(&warning), &took(5_000), interval, 4), None);
    }
}
