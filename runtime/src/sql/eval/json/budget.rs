//! What the evaluation of a path may cost.
//!
//! Place in the flow: made per document, shared by a path and the filters inside it. Invariant: neither time nor memory grows
//! without bound, whatever scans and filters nest.

use std::cell::Cell;

use super::path::Fault;
use super::value::Json;

/// Most steps of one path on one document, its filters included.
///
/// # Source
/// Guess, unmeasured: a path without nested scans takes far fewer on a document of the largest size of a record.
const STEPS_MAX: usize = 10_000_000;

/// Most text that one path selects in all, in bytes: parts inside other parts count each time.
///
/// # Source
/// Guess, unmeasured: four times the largest VARIANT.
const SELECTED_BYTES_MAX: usize = 64 << 20;

/// Bytes that a part counts for beside its texts: quotes, commas and brackets.
const PART_BYTES: usize = 4;

/// What may still be spent.
#[derive(Debug)]
pub(super) struct Budget {
    /// Steps.
    steps: Cell<usize>,
    /// Bytes of what is selected.
    bytes: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: Cell::new(STEPS_MAX),
            bytes: Cell::new(SELECTED_BYTES_MAX),
        }
    }
}

impl Budget {
    /// Pays for a step.
    ///
    /// # Errors
    /// When none is left.
    pub(super) fn step(&self) -> Result<(), Fault> {
        spend(&self.steps, 1, "the path takes too many steps")
    }

    /// Pays for a copy of a part.
    ///
    /// # Errors
    /// When all that is selected is too much.
    pub(super) fn copy(&self, part: &Json<'_>) -> Result<(), Fault> {
        let text = match part {
            Json::Null | Json::Boolean(_) => 0,
            Json::Number(text) | Json::String(text) => text.len(),
            Json::Array(elements) => {
                elements.iter().try_for_each(|element| self.copy(element))?;
                0
            }
            Json::Object(members) => {
                let mut keys = 0;
                for (key, value) in members {
                    keys += key.len() + PART_BYTES;
                    self.copy(value)?;
                }
                keys
            }
        };
        spend(&self.bytes, text + PART_BYTES, "the path selects too much")
    }
}

/// Takes an amount from what is left.
fn spend(left: &Cell<usize>, amount: usize, fault: &str) -> Result<(), Fault> {
    let rest = left.get().checked_sub(amount);
    // Once the budget is overdrawn, nothing more is affordable.
    left.set(rest.unwrap_or(0));
    rest.map(|_| ())
        .ok_or_else(|| Fault::Invalid(fault.to_owned()))
}
