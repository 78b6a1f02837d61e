//! A cursor over one JSON text.
//!
//! Place in the flow: the decoder moves it over keys and values. Invariant: it accepts exactly RFC 8259 (checked against `serde_json`), and
//! the text is valid UTF-8 before it starts.

use std::borrow::Cow;

/// Nesting beyond which a text is refused, as in `serde_json`.
const DEPTH_MAX: u32 = 128;

/// What is wrong with a text.
pub(super) type Fault = &'static str;

/// A cursor over one JSON text.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    /// The whole text.
    text: &'a [u8],
    /// The next byte.
    at: usize,
}

/// A value where the cursor stands, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// `"`.
    String,
    /// A digit or `-`.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
    /// `{`.
    Object,
    /// `[`.
    Array,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The byte at the cursor, 0 at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Moves over white space.
    #[inline]
    pub(super) fn white(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Moves over `byte` if it is next, after white space.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        if self.peek() != byte {
            self.white();
            if self.peek() != byte {
                return false;
            }
        }
        self.at += 1;
        true
    }

    /// Moves over `bytes` if they are next.
    #[inline]
    pub(super) fn eat_exactly(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.text[self.at..].starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.white();
        self.at == self.text.len()
    }

    /// Where the cursor is.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The text from a position to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    /// The kind of the value at the cursor, after white space.
    #[inline]
    pub(super) fn token(&mut self) -> Result<Token, Fault> {
        self.white();
        Ok(match self.peek() {
            b'"' => Token::String,
            b'-' | b'0'..=b'9' => Token::Number,
            b't' => Token::True,
            b'f' => Token::False,
            b'n' => Token::Null,
            b'{' => Token::Object,
            b'[' => Token::Array,
            _ => return Err("a value was expected"),
        })
    }

    /// Moves over `true`, `false` or `null`.
    pub(super) fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.eat_exactly(word) {
            Ok(())
        } else {
            Err("an unknown word stands where a value was expected")
        }
    }

    /// Moves over a string that begins at the cursor; its text, borrowed when it has no escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        if self.peek() != b'"' {
            return Err("a string was expected");
        }
        self.at += 1;
        let start = self.at;
        self.plain()?;
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.escaped(start).map(Cow::Owned)
    }

    /// Moves to the next quote or backslash of a string.
    #[inline]
    fn plain(&mut self) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let mut done = 0;
        let (words, _) = rest.as_chunks::<8>();
        for word in words {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                done += (special.trailing_zeros() / 8) as usize;
                break;
            }
            done += 8;
        }
        for byte in &rest[done..] {
            match byte {
                b'"' | b'\\' => {
                    self.at += done;
                    return Ok(());
                }
                0..=0x1f => return Err("a control character stands in a string"),
                _ => done += 1,
            }
        }
        Err("the text ends in a string")
    }

    /// The rest of a string that began at `start` and has an escape at the cursor.
    fn escaped(&mut self, start: usize) -> Result<Vec<u8>, Fault> {
        let mut text = self.text[start..self.at].to_vec();
        loop {
            if self.peek() == b'"' {
                self.at += 1;
                return Ok(text);
            }
            self.at += 1;
            let escape = self.peek();
            self.at += 1;
            match escape {
                b'"' | b'\\' | b'/' => text.push(escape),
                b'b' => text.push(8),
                b'f' => text.push(12),
                b'n' => text.push(b'\n'),
                b'r' => text.push(b'\r'),
                b't' => text.push(b'\t'),
                b'u' => {
                    let character = self.unicode()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err("an unknown escape stands in a string"),
            }
            let piece = self.at;
            self.plain()?;
            text.extend_from_slice(&self.text[piece..self.at]);
        }
    }

    /// The character of a `\u` escape, whose digits begin at the cursor; surrogates come in pairs.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.eat_exactly(b"\\u") {
                return Err("a lone surrogate stands in a string");
            }
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err("a lone surrogate stands in a string");
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or("a lone surrogate stands in a string")
    }

    /// Four hexadecimal digits.
    fn hex4(&mut self) -> Result<u32, Fault> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .ok_or("the text ends in a string")?;
        self.at += 4;
        digits.iter().try_fold(0, |code, digit| {
            let digit = char::from(*digit)
                .to_digit(16)
                .ok_or("a unicode escape has another digit")?;
            Ok(code * 16 + digit)
        })
    }

    /// Moves over a number; its text.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err("a digit was expected"),
        }
        if self.peek() == b'.' {
            self.at += 1;
            if !self.peek().is_ascii_digit() {
                return Err("a digit was expected after the point");
            }
            self.digits();
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if !self.peek().is_ascii_digit() {
                return Err("a digit was expected in the exponent");
            }
            self.digits();
        }
        Ok(&self.text[start..self.at])
    }

    /// Moves over digits.
    #[inline]
    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    /// Moves over any value.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.skip_at(0)
    }

    /// Moves over any value at a depth.
    fn skip_at(&mut self, depth: u32) -> Result<(), Fault> {
        match self.token()? {
            Token::String => self.skip_string(),
            Token::Number => self.number().map(drop),
            Token::True => self.literal(b"true"),
            Token::False => self.literal(b"false"),
            Token::Null => self.literal(b"null"),
            Token::Object | Token::Array if depth >= DEPTH_MAX => {
                Err("the text is nested too deeply")
            }
            Token::Object => self.skip_object(depth),
            Token::Array => self.skip_array(depth),
        }
    }

    /// Moves over a string without taking its text.
    fn skip_string(&mut self) -> Result<(), Fault> {
        let start = self.at + 1;
        self.at = start;
        self.plain()?;
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.escaped(start).map(drop)
    }

    /// Moves over an object.
    fn skip_object(&mut self, depth: u32) -> Result<(), Fault> {
        self.at += 1;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.white();
            if self.peek() != b'"' {
                return Err("a key was expected");
            }
            self.skip_string()?;
            if !self.eat(b':') {
                return Err("a colon was expected");
            }
            self.skip_at(depth + 1)?;
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err("a comma was expected");
            }
        }
    }

    /// Moves over an array.
    fn skip_array(&mut self, depth: u32) -> Result<(), Fault> {
        self.at += 1;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.skip_at(depth + 1)?;
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err("a comma was expected");
            }
        }
    }
}

/// High bits of the bytes of a word that are a quote, a backslash or a control character; the lowest one set is exact.
///
/// # Source
/// Mycroft's zero-byte test (Bit Twiddling Hacks, "Determine if a word has a zero byte").
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control
}
