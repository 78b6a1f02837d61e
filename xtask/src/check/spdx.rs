//! SPDX licence expressions.
//!
//! Place in the flow: `crates` asks whether a package's licence is satisfied by the allow list. Invariant: what does not parse
//! is not allowed.

use std::collections::BTreeSet;

/// Whether the expression can be satisfied by licences of the list alone.
///
/// The old form with a slash means OR. `WITH` and its exception belong to the licence before it.
pub(crate) fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        words: &words,
        allowed,
    };
    parser.any() == Some(true) && parser.words.is_empty()
}

/// What is left to read.
struct Parser<'a> {
    /// Words not read yet.
    words: &'a [&'a str],
    /// Licences that may be used.
    allowed: &'a BTreeSet<String>,
}

impl<'a> Parser<'a> {
    /// Terms joined by OR; absent when it does not parse.
    fn any(&mut self) -> Option<bool> {
        let mut result = self.all()?;
        while self.take("OR") {
            // Both sides are read even when the first decides.
            result |= self.all()?;
        }
        Some(result)
    }

    /// Terms joined by AND.
    fn all(&mut self) -> Option<bool> {
        let mut result = self.term()?;
        while self.take("AND") {
            result &= self.term()?;
        }
        Some(result)
    }

    /// A licence, or an expression in parentheses.
    fn term(&mut self) -> Option<bool> {
        if self.take("(") {
            let inner = self.any()?;
            return self.take(")").then_some(inner);
        }
        let name = self.word()?;
        if matches!(name, "OR" | "AND" | "WITH" | ")") {
            return None;
        }
        let full = if self.take("WITH") {
            format!("{name} WITH {}", self.word()?)
        } else {
            name.to_owned()
        };
        Some(self.allowed.contains(&full))
    }

    /// Reads the next word.
    fn word(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Reads the next word if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether MIT, Apache-2.0 and the LLVM exception satisfy an expression.
    fn allowed(expression: &str) -> bool {
        let list = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into();
        is_allowed(expression, &list)
    }

    #[test]
    fn one_side_of_or_and_both_sides_of_and_are_needed() {
        assert!(allowed("MIT"));
        assert!(allowed("MIT OR GPL-3.0"));
        assert!(allowed("GPL-3.0/MIT"));
        assert!(allowed("GPL-3.0 / MIT"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(allowed("(GPL-3.0 OR MIT) AND Apache-2.0"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!allowed("MIT WITH LLVM-exception"));
    }

    #[test]
    fn what_does_not_parse_is_not_allowed() {
        for bad in [
            "",
            "MIT OR",
            "OR MIT",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "MIT WITH",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
