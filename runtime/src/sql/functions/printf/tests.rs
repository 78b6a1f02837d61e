//! Tests of PRINTF.

use super::super::testing::{check, check_types, fails};

#[test]
fn values_are_printed_by_their_letter() {
    check(&[
        ("PRINTF('%s-%s', 'a', 1)", "a-1"),
        ("PRINTF('%2$s %1$s %<s', 'a', 'b')", "b a a"),
        (
            "PRINTF('%S %.2s|%5s|%-5s|', 'a', 'abc', 'x', 'y')",
            "A ab|    x|y    |",
        ),
        ("PRINTF('%b %B %b', TRUE, FALSE, 'x')", "true FALSE true"),
        (
            "PRINTF('%s %d %b', CAST(NULL AS INT), CAST(NULL AS INT), CAST(NULL AS INT))",
            "null null false",
        ),
        ("PRINTF('%c%c', 119, 8364)", "w€"),
        ("PRINTF('100%%%n')", "100%\n"),
        ("PRINTF('%s', DATE '1970-01-11')", "10"),
        ("PRINTF('%s', 1.50)", "1.50"),
        ("PRINTF('%s', 1.5e0)", "1.5"),
        (
            "PRINTF('%s', TIMESTAMP '2020-01-02 03:04:00')",
            "2020-01-02T03:04",
        ),
        (
            "PRINTF('%s', TIMESTAMP '2020-01-02 03:04:05.120')",
            "2020-01-02T03:04:05.120",
        ),
        ("PRINTF('unused', 1)", "unused"),
        ("PRINTF(CAST(NULL AS STRING), 1)", "NULL"),
    ]);
    check_types(&[("PRINTF('a')", "STRING")]);
    assert!(fails("PRINTF(1)").contains("does not take"));
}

#[test]
fn integers_take_signs_groups_and_zeros() {
    check(&[
        (
            "PRINTF('%05d|%+d|% d|%(d', 42, 42, 42, -42)",
            "00042|+42| 42|(42)",
        ),
        (
            "PRINTF('%,d|%012d|%,012d', 1234567, -42, 1234567)",
            "1,234,567|-00000000042|0001,234,567",
        ),
        ("PRINTF('%x|%X|%#x|%o', 255, 255, 255, 8)", "ff|FF|0xff|10"),
        ("PRINTF('%x', -1)", "ffffffff"),
        ("PRINTF('%x', CAST(-1 AS TINYINT))", "ff"),
        ("PRINTF('%x', CAST(-1 AS BIGINT))", "ffffffffffffffff"),
        ("PRINTF('%-6d|', 42)", "42    |"),
        ("PRINTF('%d', -9223372036854775808)", "-9223372036854775808"),
    ]);
}

#[test]
fn floating_point_is_rounded_half_up() {
    check(&[
        ("PRINTF('%f', 1.5e0)", "1.500000"),
        (
            "PRINTF('%.0f %.1f %.2f', 2.5e0, 0.25e0, 1.005e0)",
            "3 0.3 1.01",
        ),
        ("PRINTF('%.1f', 9.95e0)", "10.0"),
        ("PRINTF('%.2f', 0.001e0)", "0.00"),
        ("PRINTF('%.2f', 0.006e0)", "0.01"),
        ("PRINTF('%.0f', 0.5e0)", "1"),
        ("PRINTF('%f', 1e10)", "10000000000.000000"),
        (
            "PRINTF('%,.2f|%08.2f|%+.1f', 12345.678e0, -1.5e0, 1e0)",
            "12,345.68|-0001.50|+1.0",
        ),
        (
            "PRINTF('%e|%.2E|%.0e', 12345.678e0, 0.00012e0, 5e0)",
            "1.234568e+04|1.20E-04|5e+00",
        ),
        ("PRINTF('%e', 0e0)", "0.000000e+00"),
        (
            "PRINTF('%g|%.3g|%g', 12345.678e0, 0.00001e0, 0.0001e0)",
            "12345.7|1.00e-05|0.000100000",
        ),
        (
            "PRINTF('%8.1f|%-8.1f|', 1.25e0, 1.25e0)",
            "     1.3|1.3     |",
        ),
        ("PRINTF('%f %(f', 1e0/0e0, -1e0/0e0)", "Infinity (Infinity)"),
        ("PRINTF('%.2f', CAST(0.1 AS FLOAT))", "0.10"),
    ]);
}

#[test]
fn what_java_refuses_is_null() {
    for format in [
        "%d', 'a",
        "%d', 1.5",
        "%f', 1",
        "%z', 1",
        "%",
        "%5",
        "%s",
        "%3$s', 1",
        "%-d', 1",
        "%05', 1",
        "%-05d', 1",
        "%+ d', 1",
        "%.2d', 1",
        "%#s', 1",
        "%<s', 1",
        "%D', 1",
        "%5n",
        "%++d', 1",
        "%.s', 'a",
        "%c', 'a",
    ] {
        // The text closes the quote itself when there are arguments.
        let sql = if format.contains("', ") {
            let (format, argument) = format.split_once("', ").unwrap();
            let argument = match argument.strip_prefix('\'') {
                Some(text) => format!("'{text}'"),
                None => argument.to_owned(),
            };
            format!("PRINTF('{format}', {argument})")
        } else {
            format!("PRINTF('{format}')")
        };
        check(&[(&sql, "NULL")]);
    }
    assert!(fails("PRINTF('%2000000000d', 1)").contains("width"));
}
