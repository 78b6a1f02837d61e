//! Tests of hashes, charsets, digits, URLs and addresses.

use super::super::testing::{check, check_types, fails};

#[test]
fn digests_are_small_hexadecimal_digits() {
    check(&[
        ("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        ("MD5(x'616263')", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "SHA224('abc')",
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            "SHA256('abc')",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        ("SHA2('abc', 256) = SHA256('abc')", "TRUE"),
        ("SHA2('abc', 224) = SHA224('abc')", "TRUE"),
        ("SHA2('abc', 384) = SHA384('abc')", "TRUE"),
        ("SHA2('abc', 512) = SHA512('abc')", "TRUE"),
        ("SHA2('abc', CAST(NULL AS INT))", "NULL"),
        ("SHA1(CAST(NULL AS BYTES))", "NULL"),
    ]);
    check_types(&[
        ("MD5('a')", "CHAR(32) NOT NULL"),
        ("SHA384('a')", "CHAR(96) NOT NULL"),
        ("SHA512(CAST(NULL AS STRING))", "CHAR(128)"),
        ("SHA2('a', 224)", "VARCHAR(128) NOT NULL"),
    ]);
    assert!(fails("SHA2('abc', 1)").contains("not 1"));
}

#[test]
fn charsets_are_those_of_java() {
    check(&[
        ("DECODE(ENCODE('é😀', 'UTF-8'), 'utf8')", "é😀"),
        ("DECODE(ENCODE('é😀', 'utf-16le'), 'UTF-16LE')", "é😀"),
        ("DECODE(ENCODE('é😀', 'UTF-16'), 'UTF-16')", "é😀"),
        ("ENCODE('A', 'UTF-16') = x'FEFF0041'", "TRUE"),
        ("ENCODE('A', 'UTF-16BE') = x'0041'", "TRUE"),
        ("ENCODE('é€', 'ISO-8859-1') = x'E93F'", "TRUE"),
        ("ENCODE('é', 'US-ASCII')  = x'3F'", "TRUE"),
        ("DECODE(x'E9', 'ISO-8859-1')", "é"),
        ("DECODE(x'E9', 'US-ASCII')", "\u{FFFD}"),
        ("DECODE(x'FF', 'UTF-8')", "\u{FFFD}"),
        ("DECODE(x'FFFE4100', 'UTF-16')", "A"),
        ("DECODE(x'004100', 'UTF-16BE')", "A\u{FFFD}"),
        ("DECODE(CAST(NULL AS BYTES), 'nope')", "NULL"),
    ]);
    check_types(&[
        ("ENCODE('a', 'UTF-8')", "BYTES NOT NULL"),
        ("DECODE(x'41', CAST(NULL AS STRING))", "STRING"),
    ]);
    assert!(fails("ENCODE('a', 'nope')").contains("nope"));
}

#[test]
fn digits_stand_for_numbers_and_bytes() {
    check(&[
        ("HEX(255)", "FF"),
        ("HEX(-1)", "FFFFFFFFFFFFFFFF"),
        ("HEX(CAST(-1 AS TINYINT))", "FFFFFFFFFFFFFFFF"),
        ("HEX('né')", "6EC3A9"),
        ("BIN(5)", "101"),
        ("BIN(CAST(NULL AS INT))", "NULL"),
        ("UNHEX('6Ec3A9') = x'6EC3A9'", "TRUE"),
        ("UNHEX('f41') = x'0041'", "TRUE"),
        ("UNHEX('g')", "NULL"),
        ("UNHEX('é')", "NULL"),
        ("TO_BASE64('weir')", "d2Vpcg=="),
        ("TO_BASE64(x'77')", "dw=="),
        ("FROM_BASE64('d2Vpcg==')", "weir"),
        ("FROM_BASE64('d2Vpcg')", "weir"),
        ("FROM_BASE64(x'6432567063673D3D')", "weir"),
    ]);
    check_types(&[
        ("UNHEX('41')", "BYTES"),
        ("HEX(1)", "STRING NOT NULL"),
        ("FROM_BASE64('')", "STRING NOT NULL"),
    ]);
    assert!(fails("FROM_BASE64('!')").contains("base64"));
    assert!(fails("HEX(1.5)").contains("does not take"));
}

#[test]
fn urls_are_encoded_as_forms() {
    check(&[
        ("URL_ENCODE('a b/é*-._~')", "a+b%2F%C3%A9*-._%7E"),
        ("URL_DECODE('a+b%2f%C3%A9')", "a b/é"),
        ("URL_DECODE('100%')", "NULL"),
        ("URL_DECODE('%2')", "NULL"),
        ("URL_DECODE('%zz')", "NULL"),
        ("URL_DECODE('%FF')", "\u{FFFD}"),
        ("URL_DECODE_RECURSIVE('a%252520b')", "a b"),
        ("URL_DECODE_RECURSIVE('a%252520b', 2)", "a%20b"),
        ("URL_DECODE_RECURSIVE('%2541%25')", "%41%"),
        ("URL_DECODE_RECURSIVE('%')", "NULL"),
        ("URL_DECODE_RECURSIVE(CAST(NULL AS STRING), 3)", "NULL"),
    ]);
    assert!(fails("URL_DECODE_RECURSIVE('a', 0)").contains("positive"));
}

#[test]
fn urls_are_taken_apart_as_by_java() {
    let url = "'https://me:pw@weir.example:8080/a/../b/c.html?k=1&kk=2&k=3#top'";
    let part = |name: &str| format!("PARSE_URL({url}, '{name}')");
    let parts = [
        ("PROTOCOL", "https"),
        ("AUTHORITY", "me:pw@weir.example:8080"),
        ("USERINFO", "me:pw"),
        ("HOST", "weir.example"),
        ("PATH", "/b/c.html"),
        ("QUERY", "k=1&kk=2&k=3"),
        ("FILE", "/b/c.html?k=1&kk=2&k=3"),
        ("REF", "top"),
        ("host", "NULL"),
    ];
    for (name, expected) in parts {
        check(&[(&part(name), expected)]);
    }
    let key = |key: &str| format!("PARSE_URL({url}, 'QUERY', '{key}')");
    check(&[(&key("k"), "1"), (&key("kk"), "2"), (&key("x"), "NULL")]);
    check(&[
        ("PARSE_URL('http://h', 'PATH')", ""),
        ("PARSE_URL('http://h', 'QUERY')", "NULL"),
        ("PARSE_URL('http://h?a=b', 'HOST')", "h"),
        ("PARSE_URL('http://[::1]:80/x', 'HOST')", "[::1]"),
        ("PARSE_URL('file:/x/./y', 'PATH')", "/x/y"),
        ("PARSE_URL('file:/x/y/..', 'PATH')", "/x/"),
        ("PARSE_URL('http://h:x/', 'HOST')", "NULL"),
        ("PARSE_URL('weir://h', 'HOST')", "NULL"),
        ("PARSE_URL('no url', 'HOST')", "NULL"),
        ("PARSE_URL('http://h?k=v', 'REF', 'k')", "NULL"),
    ]);
}

#[test]
fn addresses_have_four_parts_up_to_255() {
    check(&[
        ("INET_ATON('192.168.0.1')", "3232235521"),
        ("INET_ATON('10.1')", "167772161"),
        ("INET_ATON('1.2.3')", "16908291"),
        ("INET_ATON('010.0.0.1')", "167772161"),
        ("INET_ATON('256')", "NULL"),
        ("INET_ATON('1.2.3.4.5')", "NULL"),
        ("INET_ATON('1..2')", "NULL"),
        ("INET_ATON('+1')", "NULL"),
        ("INET_ATON('99999999999999999999')", "NULL"),
        ("INET_NTOA(3232235521)", "192.168.0.1"),
        ("INET_NTOA(4294967296)", "NULL"),
        ("INET_NTOA(-1)", "NULL"),
    ]);
}
