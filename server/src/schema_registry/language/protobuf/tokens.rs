//! The words of a `.proto` text.
//!
//! Place in the flow: what identifies a schema. Invariant: texts of equal words and comments give equal texts, whatever stands between
//! them; nothing but white space is lost.

/// The text with one space between words and one line for each comment.
pub(super) fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((word, tail)) = next(rest) {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(' ');
        }
        if let Some(comment) = comment(word) {
            out.push_str("// ");
            let words: Vec<&str> = comment.split_whitespace().collect();
            out.push_str(&words.join(" "));
            out.push('\n');
        } else {
            out.push_str(word);
        }
        rest = tail;
    }
    out
}

/// How deep brackets of any kind stand within one another.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text;
    while let Some((word, tail)) = next(rest) {
        match word {
            "{" | "[" | "<" | "(" => depth += 1,
            "}" | "]" | ">" | ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        rest = tail;
    }
    deepest
}

/// The text of a comment.
fn comment(word: &str) -> Option<&str> {
    word.strip_prefix("//").or_else(|| {
        let inner = word.strip_prefix("/*")?;
        Some(inner.strip_suffix("*/").unwrap_or(inner))
    })
}

/// The first word and what follows it: a comment, a string, a name or number, or one other letter.
fn next(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let first = text.chars().next()?;
    let end = if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        text.find("*/").map_or(text.len(), |at| at + 2)
    } else if first == '"' || first == '\'' {
        string_end(text, first)
    } else if is_word(first) {
        text.find(|letter| !is_word(letter)).unwrap_or(text.len())
    } else {
        first.len_utf8()
    };
    Some(text.split_at(end))
}

/// Where a string ends.
fn string_end(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        if letter == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    text.len()
}

/// Whether a letter is part of a name or number.
fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_and_white_space_goes() {
        let text = "a.b=1;/* one\n  two */ 'it\\'s  }' \"/*\" // end";
        assert_eq!(
            canonical(text),
            "a.b = 1 ; // one two\n'it\\'s  }' \"/*\" // end\n"
        );
        assert_eq!(canonical("  \n "), "");
        assert_eq!(depth("{ \"{{{\" [ ( ] } // {{{"), 3);
        assert_eq!(depth("/* { "), 0);
    }
}
