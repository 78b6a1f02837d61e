//! Typing rules: common types, implicit casts, decimal arithmetic.
