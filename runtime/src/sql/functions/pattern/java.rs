//! Java's regular expressions on the `fancy-regex` crate.
//!
//! Place in the flow: the functions in [`super::regexp`] and `SIMILAR TO` compile their patterns here. Invariant: a pattern
//! means what `java.util.regex.Pattern` makes of it, or does not compile; search is bounded by [`MAX_STEPS`].
//!
//! Translated are: character classes of ASCII (`\d`, `\w`, `\s`, `\p{Alpha}`), line ends (`.`, `$`, `\R`), quotation, octal and
//! control escapes, and inline flags. Case is ignored for all of Unicode where Java's `(?i)` looks at ASCII only.

use fancy_regex::{Captures, Regex, RegexBuilder};

use crate::error::{Error, Result};

/// Largest compiled regular expression, in bytes.
///
/// # Source
/// Guess, unmeasured: bounds memory that a pattern from data may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Most steps back in one search.
///
/// # Source
/// The default of `fancy-regex`; Java has no bound and may take forever.
const MAX_STEPS: usize = 1_000_000;

/// `.`: no character that ends a line in Java.
const DOT: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct JavaRegex {
    /// For texts in which no line ends, where `$` is the end of the text.
    plain: Regex,
    /// For other texts; absent when it would be the same.
    lines: Option<Regex>,
}

/// Where a match or group lies, in bytes.
pub(super) type Place = (usize, usize);

impl JavaRegex {
    /// Compiles a pattern; `None` when it is invalid.
    pub(crate) fn compile(pattern: &str) -> Option<Self> {
        let plain = translate(pattern, r"\z")?;
        let lines = translate(pattern, r"(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)")?;
        let lines = if plain == lines {
            None
        } else {
            Some(build(&lines)?)
        };
        Some(Self {
            plain: build(&plain)?,
            lines,
        })
    }

    /// The pattern for a text.
    fn of(&self, text: &str) -> &Regex {
        let ends_line = |c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        match &self.lines {
            Some(lines) if text.contains(ends_line) => lines,
            _ => &self.plain,
        }
    }

    /// Number of groups, the whole match apart.
    pub(super) fn groups(&self) -> usize {
        self.plain.captures_len().saturating_sub(1)
    }

    /// Whether it matches somewhere.
    ///
    /// # Errors
    /// `Data` when the search takes too many steps.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool> {
        self.of(text).is_match(text).map_err(|_| too_long())
    }

    /// The first match.
    ///
    /// # Errors
    /// `Data` when the search takes too many steps.
    pub(super) fn find(&self, text: &str) -> Result<Option<Place>> {
        let found = self.of(text).find(text).map_err(|_| too_long())?;
        Ok(found.map(|found| (found.start(), found.end())))
    }

    /// The groups of the first match.
    ///
    /// # Errors
    /// `Data` when the search takes too many steps.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Result<Option<Captures<'t, str>>> {
        self.of(text).captures(text).map_err(|_| too_long())
    }

    /// Visits every match as `Matcher.find` does: an empty match may follow another one directly.
    ///
    /// # Errors
    /// `Data` when the search takes too many steps.
    pub(super) fn each<'t>(
        &self,
        text: &'t str,
        mut visit: impl FnMut(&Captures<'t, str>, Place),
    ) -> Result<()> {
        let regex = self.of(text);
        let mut from = 0;
        while from <= text.len() {
            let found = regex
                .captures_from_pos(text, from)
                .map_err(|_| too_long())?;
            let Some((captures, whole)) = found.and_then(|c| c.get(0).map(|m| (c, m))) else {
                break;
            };
            let place = (whole.start(), whole.end());
            visit(&captures, place);
            from = if place.0 == place.1 {
                let next = text.get(place.1..).and_then(|rest| rest.chars().next());
                place.1 + next.map_or(1, char::len_utf8)
            } else {
                place.1
            };
        }
        Ok(())
    }
}

/// The error of a search that backtracks for too long.
fn too_long() -> Error {
    Error::arithmetic(format!(
        "a regular expression took more than {MAX_STEPS} steps back on a text"
    ))
}

/// Compiles a translated pattern.
fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .backtrack_limit(MAX_STEPS)
        .delegate_size_limit(MAX_PATTERN_BYTES)
        .build()
        .ok()
}

/// Flags that change what `.`, `^` and `$` mean.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `(?s)`: `.` takes line ends.
    dot_all: bool,
    /// `(?m)`: `^` and `$` look at lines.
    multiline: bool,
    /// `(?x)`: blanks and comments are skipped.
    comments: bool,
}

/// Walks through a Java pattern.
struct Translator<'a> {
    /// What is left to read.
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// The translation.
    out: String,
    /// Flags in effect.
    flags: Flags,
    /// Flags around the open groups.
    outer: Vec<Flags>,
    /// What `$` outside of multiline mode becomes.
    end: &'a str,
}

/// A Java pattern in the syntax of fancy-regex; `None` when Java refuses it or it has no counterpart.
fn translate(pattern: &str, end: &str) -> Option<String> {
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags::default(),
        outer: Vec::new(),
        end,
    };
    while let Some(c) = translator.rest.next() {
        translator.one(c)?;
    }
    Some(translator.out)
}

impl Translator<'_> {
    /// Translates what begins with a character.
    fn one(&mut self, c: char) -> Option<()> {
        match c {
            '\\' => self.escape(false)?,
            '[' => self.class()?,
            '(' => self.open()?,
            ')' => {
                self.flags = self.outer.pop()?;
                self.out.push(')');
            }
            '{' => self.repetition()?,
            '.' if self.flags.dot_all => self.out.push_str("(?s:.)"),
            '.' => self.out.push_str(DOT),
            '$' if self.flags.multiline => self.out.push_str("(?m:$)"),
            '$' => self.out.push_str(self.end),
            '^' if self.flags.multiline => self.out.push_str("(?m:^)"),
            '^' => self.out.push_str(r"\A"),
            '#' if self.flags.comments => while self.rest.next_if(|c| *c != '\n').is_some() {},
            c if self.flags.comments && c.is_ascii_whitespace() => {}
            c => self.out.push(c),
        }
        Some(())
    }

    /// Checks and copies `{n}`, `{n,}` and `{n,m}`; nothing else may stand in braces.
    fn repetition(&mut self) -> Option<()> {
        let mut inside = String::new();
        loop {
            match self.rest.next()? {
                '}' => break,
                c => inside.push(c),
            }
        }
        let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if least.is_empty() || !digits(least) || !digits(most) {
            return None;
        }
        self.out.extend(["{", &inside, "}"]);
        Some(())
    }

    /// Translates what follows `(`: groups, look-around and flags.
    fn open(&mut self) -> Option<()> {
        self.outer.push(self.flags);
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Some(());
        }
        self.out.push('?');
        match self.rest.peek()? {
            ':' | '=' | '!' | '>' => self.out.push(self.rest.next()?),
            '<' => {
                self.out.push(self.rest.next()?);
                if matches!(self.rest.peek()?, '=' | '!') {
                    self.out.push(self.rest.next()?);
                }
            }
            _ => return self.inline_flags(),
        }
        Some(())
    }

    /// Translates `(?i)` and `(?i:`.
    fn inline_flags(&mut self) -> Option<()> {
        // The flags that are left to the engine; `.`, `^`, `$` and blanks are translated here.
        let (mut on, mut off) = (false, false);
        let mut positive = true;
        let end = loop {
            match self.rest.next()? {
                '-' if positive => positive = false,
                'i' if positive => on = true,
                'i' => off = true,
                's' => self.flags.dot_all = positive,
                'm' => self.flags.multiline = positive,
                'x' => self.flags.comments = positive,
                // Unix lines, Unicode case and Unicode classes: what the engine does anyway comes close.
                'd' | 'u' | 'U' => {}
                end @ (')' | ':') => break end,
                _ => return None,
            }
        };
        let engine = match (on, off) {
            (_, true) => "-i",
            (true, false) => "i",
            (false, false) => "",
        };
        self.out.push_str(engine);
        if end == ')' {
            // The flags hold to the end of the group around.
            self.outer.pop()?;
            if engine.is_empty() {
                self.out.push(':');
            }
        }
        self.out.push(end);
        Some(())
    }

    /// Translates a class up to its closing bracket, nested classes included.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.rest.next()? {
                ']' if first => self.out.push_str(r"\]"),
                ']' => break,
                '[' => self.class()?,
                '\\' => self.escape(true)?,
                '&' if self.rest.next_if_eq(&'&').is_some() => self.out.push_str("&&"),
                // A range, unless it stands where the engine has an operator of its own.
                '-' if self.rest.peek() == Some(&'-') => self.out.push_str(r"\-"),
                '-' => self.out.push('-'),
                c if self.flags.comments && c.is_ascii_whitespace() => {}
                c => self.literal(c),
            }
            first = false;
        }
        self.out.push(']');
        Some(())
    }

    /// Writes a character that means itself.
    fn literal(&mut self, c: char) {
        if c == '~' || c == '&' {
            self.out.push('\\');
            self.out.push(c);
        } else {
            self.out
                .push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
    }

    /// Translates what follows a backslash.
    fn escape(&mut self, in_class: bool) -> Option<()> {
        let c = self.rest.next()?;
        let inside = match c {
            'd' => Some("0-9"),
            'w' => Some("a-zA-Z0-9_"),
            's' => Some(r" \t\n\x0B\f\r"),
            'h' => Some(r" \t\xA0\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"),
            'v' => Some(r"\n\x0B\f\r\x{85}\x{2028}\x{2029}"),
            _ => None,
        };
        if let Some(inside) = inside {
            self.out.extend(["[", inside, "]"]);
            return Some(());
        }
        match c {
            'D' => self.out.push_str("[^0-9]"),
            'W' => self.out.push_str("[^a-zA-Z0-9_]"),
            'S' => self.out.push_str(r"[^ \t\n\x0B\f\r]"),
            'H' => self
                .out
                .push_str(r"[^ \t\xA0\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"),
            'V' => self.out.push_str(r"[^\n\x0B\f\r\x{85}\x{2028}\x{2029}]"),
            'p' | 'P' => self.property(c == 'P')?,
            'Q' => self.quotation(),
            '0' => self.octal()?,
            'c' => {
                let control = u32::from(self.rest.next()?) ^ 64;
                self.code_point(control)?;
            }
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'e' => self.out.push_str(r"\x1B"),
            't' | 'n' | 'r' | 'f' | 'a' => self.out.extend(['\\', c]),
            'R' if !in_class => self
                .out
                .push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
            'X' if !in_class => self.out.push_str(r"(?:(?s:.)\p{M}*)"),
            'Z' if !in_class => self.out.push_str(self.end),
            'b' | 'B' | 'A' | 'z' | 'G' | 'k' | '1'..='9' if !in_class => {
                self.out.extend(['\\', c]);
            }
            // Java has no other letters behind a backslash.
            c if c.is_ascii_alphanumeric() => return None,
            c => self.literal(c),
        }
        Some(())
    }

    /// Translates `\p{..}`: names of POSIX are of ASCII in Java.
    fn property(&mut self, negated: bool) -> Option<()> {
        let name: String = if self.rest.next_if_eq(&'{').is_some() {
            let mut name = String::new();
            loop {
                match self.rest.next()? {
                    '}' => break name,
                    c => name.push(c),
                }
            }
        } else {
            self.rest.next()?.to_string()
        };
        let class = match name.as_str() {
            "Lower" => "a-z",
            "Upper" => "A-Z",
            "ASCII" => r"\x00-\x7F",
            "Alpha" => "a-zA-Z",
            "Digit" => "0-9",
            "Alnum" => "a-zA-Z0-9",
            "Punct" => r"!-/:-@\[-`{-~",
            "Graph" => "!-~",
            "Print" => r"\x20-~",
            "Blank" => r"\x20\t",
            "Cntrl" => r"\x00-\x1F\x7F",
            "XDigit" => "0-9a-fA-F",
            "Space" => r"\x20\t\n\x0B\f\r",
            "javaLowerCase" | "IsLowercase" => r"\p{Lowercase}",
            "javaUpperCase" | "IsUppercase" => r"\p{Uppercase}",
            "javaLetter" => r"\p{L}",
            "javaDigit" => r"\p{Nd}",
            "javaLetterOrDigit" => r"\p{L}\p{Nd}",
            "javaWhitespace" => r"\s",
            other => {
                // Categories and scripts carry the prefix `Is` in Java, blocks `In`, which the engine lacks.
                let name = other.strip_prefix("Is").unwrap_or(other);
                let known = name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_=".contains(c));
                if !known || other.starts_with("In") {
                    return None;
                }
                let property = format!("[{}\\p{{{name}}}]", if negated { "^" } else { "" });
                self.out.push_str(&property);
                return Some(());
            }
        };
        let negation = if negated { "^" } else { "" };
        self.out.extend(["[", negation, class, "]"]);
        Some(())
    }

    /// Translates `\Q...\E`; without an end it reaches to the end of the pattern.
    fn quotation(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// Translates `\0n`, `\0nn` and `\0mnn`.
    fn octal(&mut self) -> Option<()> {
        let mut value = 0;
        let mut digits = 0;
        while digits < 3 {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            if value * 8 + digit > 0o377 {
                break;
            }
            value = value * 8 + digit;
            digits += 1;
            self.rest.next();
        }
        (digits > 0).then(|| self.code_point(value))?
    }

    /// Translates `\xhh`, `\uhhhh` and `\x{h..h}`.
    fn hexadecimal(&mut self, digits: usize) -> Option<()> {
        let mut value: u32 = 0;
        if digits == 2 && self.rest.next_if_eq(&'{').is_some() {
            loop {
                match self.rest.next()? {
                    '}' => break,
                    c => value = value.checked_mul(16)?.checked_add(c.to_digit(16)?)?,
                }
            }
            return self.code_point(value);
        }
        for _ in 0..digits {
            value = value * 16 + self.rest.next()?.to_digit(16)?;
        }
        self.code_point(value)
    }

    /// Writes a character by its number.
    fn code_point(&mut self, value: u32) -> Option<()> {
        let c = char::from_u32(value)?;
        // `\u{41}` without its first two characters.
        self.out.push_str(r"\x");
        self.out.extend(c.escape_unicode().skip(2));
        Some(())
    }
}
