//! SQL text to single statements.
//!
//! Place in the flow: `weir sql` submits them one by one. Invariant: nothing but the separating semicolons is taken away; semicolons
//! inside strings, quoted names, comments and statement sets separate nothing.

/// The statements of a text, without the semicolons between them; pieces of only white space and comments are left out.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut scanner = Scanner {
        text,
        at: 0,
        in_set: false,
        has_content: false,
        words: Vec::new(),
    };
    let mut start = 0;
    while scanner.at < text.len() {
        if scanner.step() {
            if scanner.has_content {
                statements.push(text[start..scanner.at - 1].trim().to_owned());
            }
            start = scanner.at;
            scanner.has_content = false;
            scanner.words.clear();
        }
    }
    if scanner.has_content {
        statements.push(text[start..].trim().to_owned());
    }
    statements
}

/// Walks over SQL text.
struct Scanner<'a> {
    /// The text.
    text: &'a str,
    /// Where it is.
    at: usize,
    /// Whether it is between `BEGIN` and `END` of a statement set.
    in_set: bool,
    /// Whether the statement has anything but white space and comments.
    has_content: bool,
    /// The first words of the statement, upper case, at most four.
    words: Vec<String>,
}

impl Scanner<'_> {
    /// Moves over the next token; true when it was a semicolon that ends a statement.
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            return false;
        };
        match first {
            '\'' | '"' | '`' => {
                self.has_content = true;
                self.at += quoted_length(rest, first);
            }
            '-' if rest.starts_with("--") => self.at += rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            }
            ';' => {
                self.at += 1;
                return !self.in_set;
            }
            _ if first.is_alphanumeric() || first == '_' => self.word(rest),
            _ => {
                self.has_content |= !first.is_whitespace();
                self.at += first.len_utf8();
            }
        }
        false
    }

    /// Moves over a word and notices where a statement set begins and ends.
    fn word(&mut self, rest: &str) {
        let length = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let word = rest[..length].to_uppercase();
        self.has_content = true;
        self.at += length;
        if self.in_set {
            // `CASE ... END` has its END behind other words, the set's END stands behind a semicolon.
            let before = self.text[..self.at - length].trim_end();
            if word == "END" && before.ends_with(';') {
                self.in_set = false;
            }
        } else if self.words.len() < 4 {
            self.words.push(word);
            let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
            self.in_set = matches!(
                words[..],
                ["EXECUTE", "STATEMENT", "SET", "BEGIN"] | ["BEGIN", "STATEMENT", "SET"]
            );
        }
    }
}

/// Bytes of a quoted piece, quotes included; a doubled quote stays inside.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_separate_only_between_statements() {
        let text = "SELECT ';' AS a; -- one; two\nSELECT `x;y` /* ; */ FROM t;;\n";
        assert_eq!(
            split(text),
            [
                "SELECT ';' AS a",
                "-- one; two\nSELECT `x;y` /* ; */ FROM t"
            ]
        );
        assert_eq!(split("SELECT 'it''s; fine'"), ["SELECT 'it''s; fine'"]);
        assert_eq!(split("  -- nothing\n ; "), [""; 0]);
    }

    #[test]
    fn a_statement_set_is_one_statement() {
        let set = "EXECUTE STATEMENT SET BEGIN\nINSERT INTO a SELECT CASE WHEN x THEN 1 ELSE 2 END FROM t;\nINSERT INTO b SELECT 2 FROM t;\nEND";
        assert_eq!(split(&format!("{set}; SHOW TABLES")), [set, "SHOW TABLES"]);
    }
}
