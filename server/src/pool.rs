//! Compute pools: how many slots may be held at once.
//!
//! Place in the flow: statements are admitted here before they start. Invariant: the slots held in a pool never exceed its cap,
//! except for statements that ran already when the cap was lowered.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most slots of one statement and of one pool.
///
/// # Source
/// Confluent: pools of up to 1,000 CFU; a larger number is a typing mistake on one machine.
pub const MAX_CFU_LIMIT: u32 = 1000;

/// A compute pool as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// `lfcp-...`.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// The cap.
    pub max_cfu: u32,
    /// Whether statements without a pool run here.
    pub is_default: bool,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
    /// Epoch milliseconds.
    pub updated_at_ms: i64,
}

impl Pool {
    /// Checks a cap.
    ///
    /// # Errors
    /// `Invalid` outside 1 to [`MAX_CFU_LIMIT`].
    pub fn check_max_cfu(max_cfu: u64) -> Result<u32> {
        u32::try_from(max_cfu)
            .ok()
            .filter(|cap| (1..=MAX_CFU_LIMIT).contains(cap))
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "max_cfu is {max_cfu}, it must be 1 to {MAX_CFU_LIMIT}"
                ))
            })
    }

    /// Whether `needed` more slots fit beside `held`.
    pub fn admits(&self, held: u32, needed: u32) -> bool {
        held.checked_add(needed)
            .is_some_and(|sum| sum <= self.max_cfu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool with a cap.
    fn pool(max_cfu: u32) -> Pool {
        Pool {
            id: "lfcp-x".into(),
            display_name: "x".into(),
            max_cfu,
            is_default: false,
            created_at_ms: 0,
            updated_at_ms: 0,
        }
    }

    #[test]
    fn the_cap_is_inclusive() {
        assert!(pool(5).admits(3, 2));
        assert!(!pool(5).admits(3, 3));
        assert!(!pool(5).admits(u32::MAX, 1));
    }

    #[test]
    fn caps_are_checked() {
        assert_eq!(Pool::check_max_cfu(50).unwrap(), 50);
        assert!(Pool::check_max_cfu(0).is_err());
        assert!(Pool::check_max_cfu(1 << 40).is_err());
    }
}
