//! What the tests share: components, processes, and waiting.
//!
//! Enters: the environment that `cargo xtask test` sets. Leaves: running programs that end with their handles. Invariant: nothing
//! sleeps and hopes; everything waits for a condition with a bounded number of looks.

mod broker;
mod kafka_tools;
mod process;
mod weir;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub(crate) use broker::{Broker, Ending};
pub(crate) use kafka_tools::KafkaTools;
pub(crate) use process::{Process, output};
pub(crate) use weir::Weir;

/// Time between two looks at a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The value of a component's variable; absent, with a note, when the tests run without it.
///
/// # Errors
/// When it is absent although `cargo xtask test` says that every component is there.
pub(crate) fn component(variable: &str) -> Result<Option<String>> {
    if let Some(value) = std::env::var_os(variable) {
        return Ok(Some(value.to_string_lossy().into_owned()));
    }
    if std::env::var_os("WEIR_TEST_REQUIRED").is_some() {
        bail!("{variable} is not set although every component is required");
    }
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // Written past the capture of the test runner, so that what was left out is seen.
    writeln!(
        std::io::stderr(),
        "left out: {test}: {variable} is not set; `cargo xtask test` sets it"
    )?;
    Ok(None)
}

/// Looks up to ten times a second until `probe` gives something, for at most so many seconds.
///
/// # Errors
/// What `probe` returns as an error, or what was waited for when the time is over.
pub(crate) fn wait_for<T>(
    what: &str,
    seconds_max: u64,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    for _ in 0..seconds_max * 10 {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        thread::sleep(LOOK_INTERVAL);
    }
    bail!("{what}: not within {seconds_max} s")
}

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A folder that goes with its handle, or stays with its logs where `WEIR_TEST_KEEP` is set.
pub(crate) fn kept_folder() -> Result<TempDir> {
    let mut folder = tempfile::tempdir()?;
    folder.disable_cleanup(std::env::var_os("WEIR_TEST_KEEP").is_some());
    Ok(folder)
}

/// The body of the answer to a GET.
///
/// # Errors
/// When there is no answer, or its status is not 200.
pub(crate) fn http_get(address: &str, path: &str) -> Result<String> {
    http(address, &format!("GET {path}"), "")
}

/// The body of the answer to a POST of JSON.
///
/// # Errors
/// As [`http_get`].
pub(crate) fn http_post(address: &str, path: &str, body: &str) -> Result<String> {
    http(address, &format!("POST {path}"), body)
}

/// Method and path, as HTTP/1.0 so that the connection ends with the answer.
fn http(address: &str, what: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{what} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("answer is not UTF-8")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        bail!("{what} at {address}: {status}: {body}");
    }
    Ok(body.to_owned())
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn queries_are_encoded_for_a_url() {
    assert_eq!(url_encoded("up{a=\"b\"}"), "up%7Ba%3D%22b%22%7D");
}
