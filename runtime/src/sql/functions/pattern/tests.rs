//! Tests of LIKE, SIMILAR TO and regular expressions.

use proptest::prelude::*;

use super::super::testing::{check, check_types, evaluate, fails};
use super::java::JavaRegex;

/// Whether a Java pattern matches somewhere; `None` when it does not compile.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    JavaRegex::compile(pattern).map(|regex| regex.is_match(text).unwrap())
}

#[test]
fn patterns_mean_what_they_mean_in_java() {
    let cases = [
        // Classes are those of ASCII.
        (r"\d", "٣", false),
        (r"[\d.]", "x3", true),
        (r"[^\W]", "é", false),
        (r"^\p{Alpha}+$", "é", false),
        (r"^\p{L}+$", "é", true),
        (r"^\p{IsAlphabetic}+$", "é", true),
        (r"\P{Digit}", "12", false),
        // Look-around, back references, possessive quantifiers and atomic groups.
        (r"(a)\1", "aa", true),
        (r"(?<x>a)\k<x>", "ab", false),
        ("a(?=b)", "ab", true),
        ("(?<!a)b", "ab", false),
        ("a++a", "aaa", false),
        ("(?>a+)a", "aaa", false),
        ("a{1,3}+a", "aaa", false),
        ("a{2}a{0,}", "aa", true),
        // Lines end with more than a line feed, and `$` looks past the last of them.
        ("^a.b$", "a\rb", false),
        ("^a.b$", "a\nb", false),
        ("(?s)^a.b$", "a\nb", true),
        ("(?s:a.)b", "a\nb", true),
        ("b$", "ab\n", true),
        ("b$", "ab\r\n", true),
        ("b$", "ab\n\n", false),
        (r"b\z", "ab\n", false),
        ("(?m)^b$", "a\nb\nc", true),
        ("^b$", "a\nb\nc", false),
        (r"a\Rb", "a\r\nb", true),
        // Quotation, escapes and flags.
        (r"^\Qa.b\E$", "axb", false),
        (r"^\Qa.b\E$", "a.b", true),
        (r"\x41\u0042\0103\x{44}", "ABCD", true),
        (r"\cA", "\u{1}", true),
        (r"\e", "\u{1b}", true),
        ("(?i)AB", "ab", true),
        ("(?i:A)B", "ab", false),
        ("(?x) a b # c", "ab", true),
        (r"\<a\>", "<a>", true),
        (r"\-\ \_", "- _", true),
        // Classes within classes.
        ("^[a-z&&[^aeiou]]+$", "bcd", true),
        ("^[a-z&&[^aeiou]]+$", "bad", false),
        ("^[a[0-9]]+$", "a1", true),
        ("^[]a]+$", "]a", true),
        (r"^[\Q^-\E]+$", "^-", true),
        ("^[~~&--]+$", "~-&", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(matches(pattern, text), Some(expected), "{pattern} {text:?}");
    }
    for pattern in [
        "(",
        ")",
        "[a",
        "a{2",
        r"\y",
        r"\Qa\E(",
        "*",
        r"\u12",
        r"\p{Nope}",
        "(?q)",
    ] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
}

#[test]
fn a_search_that_takes_too_long_is_an_error() {
    let sql = "REGEXP(REPEAT('a', 40), '^(?=(a+)+$)(a|aa)+\\1b$')";
    assert!(fails(sql).contains("steps back"), "{sql}");
}

#[test]
fn regular_expressions_find_count_and_replace() {
    check(&[
        ("REGEXP('weir', 'e.r')", "TRUE"),
        ("REGEXP('weir', '')", "FALSE"),
        ("REGEXP('weir', '(')", "FALSE"),
        ("REGEXP(CAST(NULL AS STRING), 'a')", "NULL"),
        ("REGEXP_REPLACE('a1b22', '[0-9]+', '<$0>')", "a<$0>b<$0>"),
        ("REGEXP_REPLACE('ab', 'x*', '-')", "-a-b-"),
        ("REGEXP_REPLACE('ab', '(', '-')", "NULL"),
        ("REGEXP_EXTRACT('k=v', '(\\w)=(\\w)', 2)", "v"),
        ("REGEXP_EXTRACT('k=v', '(\\w)=(\\w)')", "k=v"),
        ("REGEXP_EXTRACT('k=v', '(\\w)=(\\w)', 3)", "NULL"),
        ("REGEXP_EXTRACT('k=v', '(\\w)=(\\w)', -1)", "NULL"),
        ("REGEXP_EXTRACT('b', '(a)?b', 1)", "NULL"),
        ("REGEXP_EXTRACT('k', 'x')", "NULL"),
        ("REGEXP_EXTRACT_ALL('a1b22', '[a-z]([0-9]+)')", "[1, 22]"),
        ("REGEXP_EXTRACT_ALL('a1b22', '[a-z][0-9]+', 0)", "[a1, b22]"),
        ("REGEXP_EXTRACT_ALL('a1b22', '[a-z][0-9]+')", "NULL"),
        ("REGEXP_EXTRACT_ALL('ab', 'x', 0)", "[]"),
        ("REGEXP_EXTRACT_ALL('ab', '(', 0)", "NULL"),
        ("REGEXP_COUNT('banana', 'ana')", "1"),
        ("REGEXP_COUNT('ab', 'x*')", "3"),
        ("REGEXP_COUNT('ab', '(')", "NULL"),
        ("REGEXP_INSTR('a😀b', 'b')", "4"),
        ("REGEXP_INSTR('ab', 'x')", "0"),
        ("REGEXP_SUBSTR('a1b22', '[0-9]{2}')", "22"),
        ("REGEXP_SUBSTR('ab', 'x')", "NULL"),
    ]);
    check_types(&[
        ("REGEXP_EXTRACT_ALL('a', 'a', 0)", "ARRAY<STRING>"),
        ("REGEXP_COUNT('a', 'a')", "INT"),
        ("REGEXP_SUBSTR('a', 'a')", "STRING"),
        ("REGEXP('a', 'a')", "BOOLEAN NOT NULL"),
    ]);
    assert!(fails("REGEXP_COUNT(1, '1')").contains("does not take"));
}

#[test]
fn like_has_no_escape_character_of_its_own() {
    check(&[
        ("'a_b' LIKE 'a\\_b'", "FALSE"),
        ("'a\\xb' LIKE 'a\\_b'", "TRUE"),
        ("'a_b' LIKE 'a\\_b' ESCAPE '\\'", "TRUE"),
        ("'axb' LIKE 'a\\_b' ESCAPE '\\'", "FALSE"),
        ("'a%' LIKE 'a%%' ESCAPE '%'", "TRUE"),
        ("'😀' LIKE '_'", "TRUE"),
        ("CAST(NULL AS STRING) LIKE '%'", "NULL"),
        ("'a' NOT LIKE 'b'", "TRUE"),
    ]);
    assert!(fails("'a' LIKE 'a!b' ESCAPE '!'").contains("escape sequence"));
    assert!(fails("'a' LIKE 'a' ESCAPE 'xy'").contains("escape character"));
}

#[test]
fn similar_to_is_between_like_and_regular_expressions() {
    check(&[
        ("'abab' SIMILAR TO '(ab)+'", "TRUE"),
        ("'xab' SIMILAR TO '(ab)+'", "FALSE"),
        ("'weir' SIMILAR TO 'w%r'", "TRUE"),
        ("'weir' SIMILAR TO 'w__r'", "TRUE"),
        ("'a.b' SIMILAR TO 'a.b'", "TRUE"),
        ("'axb' SIMILAR TO 'a.b'", "TRUE"),
        ("'a$' SIMILAR TO 'a$'", "TRUE"),
        ("'a\\d' SIMILAR TO 'a\\d'", "TRUE"),
        ("'a1' SIMILAR TO '[[:ALPHA:]][[:digit:]]'", "TRUE"),
        ("'b' SIMILAR TO '[^a-c]'", "FALSE"),
        ("'a%' SIMILAR TO 'a!%' ESCAPE '!'", "TRUE"),
        ("'ab' SIMILAR TO 'a!%' ESCAPE '!'", "FALSE"),
        ("'ab' NOT SIMILAR TO 'a|b'", "TRUE"),
        ("'weir' SIMILAR TO CAST(NULL AS STRING)", "NULL"),
    ]);
    for pattern in ["[a", "a]", "[[:nope:]]", "(a"] {
        let sql = format!("'a' SIMILAR TO '{pattern}'");
        assert!(evaluate(&sql).unwrap_err().contains("invalid"), "{sql}");
    }
    assert!(fails("'a' SIMILAR TO 'a!b' ESCAPE '!'").contains("escape sequence"));
}

proptest! {
    #[test]
    fn no_pattern_makes_the_engine_panic(
        pattern in r"(\\[dDwWsSbBAzZQERXhHvVpP0-9xukceGtn]|[\[\](){}?*+|^$.<>=!:,#&~-]|[a-c0-2 \n😀]){0,10}",
        text in "[a-c0-2 \n😀]{0,8}",
    ) {
        if let Some(regex) = JavaRegex::compile(&pattern) {
            if let Err(error) = regex.is_match(&text) {
                prop_assert!(error.to_string().contains("steps back"));
            }
            let mut end = 0;
            let done = regex.each(&text, |captures, (from, to)| {
                assert!(end <= from && from <= to && captures.get(0).is_some());
                end = to;
            });
            prop_assert!(done.is_err() || end <= text.len());
        }
    }
}
