//! URLs as `java.net.URL` takes them apart.
//!
//! Place in the flow: `PARSE_URL`. Invariant: parts are as they were written, nothing is decoded or encoded; a text that
//! `java.net.URL` refuses has no parts.

/// Protocols that a Java runtime can read.
///
/// # Source
/// The handlers of `sun.net.www.protocol`.
const PROTOCOLS: [&str; 7] = ["http", "https", "ftp", "file", "jar", "mailto", "jrt"];

/// A URL in parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// Before the first colon, in small letters.
    protocol: String,
    /// User and host with port.
    authority: Option<String>,
    /// Before the `@` of the authority.
    user: Option<String>,
    /// Without user and port; empty when there is none.
    host: String,
    /// Without query.
    path: String,
    /// Behind `?`.
    pub(super) query: Option<String>,
    /// Behind `#`.
    reference: Option<String>,
}

impl Url {
    /// A part by the name that Flink gives it; names are in capitals.
    pub(super) fn part(&self, name: &str) -> Option<String> {
        match name {
            "HOST" => Some(self.host.clone()),
            "PATH" => Some(self.path.clone()),
            "QUERY" => self.query.clone(),
            "REF" => self.reference.clone(),
            "PROTOCOL" => Some(self.protocol.clone()),
            "FILE" => Some(match &self.query {
                Some(query) => format!("{}?{query}", self.path),
                None => self.path.clone(),
            }),
            "AUTHORITY" => self.authority.clone(),
            "USERINFO" => self.user.clone(),
            _ => None,
        }
    }
}

/// Takes a URL apart; `None` for a text that is none.
pub(super) fn parse(text: &str) -> Option<Url> {
    let text = text.trim_matches(|c| c <= ' ');
    let text = match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("url:") => text.get(4..)?,
        _ => text,
    };
    let (protocol, rest) = text.split_once(':')?;
    let protocol = protocol.to_ascii_lowercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return None;
    }
    let (rest, reference) = split(rest, '#');
    let (rest, query) = if protocol == "jar" {
        (rest, None)
    } else {
        split(rest, '?')
    };
    let mut url = Url {
        protocol,
        query: query.map(str::to_owned),
        reference: reference.map(str::to_owned),
        ..Url::default()
    };
    let path = match rest.strip_prefix("//") {
        // Four slashes begin a name of another machine's file, not an authority.
        Some(rest) if !rest.starts_with("//") => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            url.take_authority(authority)?;
            path
        }
        _ => rest,
    };
    let relative = !path.is_empty() && !path.starts_with('/') && url.authority.is_some();
    let path = if relative {
        format!("/{path}")
    } else {
        path.to_owned()
    };
    url.path = normalized(path);
    Some(url)
}

/// A text up to a character, and what follows it.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

impl Url {
    /// Reads `user@host:port`; `None` when the host or port is none.
    fn take_authority(&mut self, authority: &str) -> Option<()> {
        self.authority = Some(authority.to_owned()).filter(|text| !text.is_empty());
        let host = match authority.split_once('@') {
            // Two of them: neither user nor host can be told.
            Some((_, host)) if host.contains('@') => return Some(()),
            Some((user, host)) => {
                self.user = Some(user.to_owned());
                host
            }
            None => authority,
        };
        let (host, port) = if host.starts_with('[') {
            let end = host.find(']').filter(|end| *end > 2)?;
            let (host, behind) = host.split_at(end + 1);
            match behind.strip_prefix(':') {
                Some(port) => (host, port),
                None if behind.is_empty() => (host, ""),
                None => return None,
            }
        } else {
            host.split_once(':').unwrap_or((host, ""))
        };
        if !port.is_empty() && port.parse::<i32>().ok()? < -1 {
            return None;
        }
        host.clone_into(&mut self.host);
        Some(())
    }
}

/// A path without `.` and `..` segments.
fn normalized(mut path: String) -> String {
    while let Some(at) = path.find("/./") {
        path.replace_range(at..at + 2, "");
    }
    let mut from = 0;
    while let Some(at) = path.get(from..).and_then(|rest| rest.find("/../")) {
        let at = from + at;
        let before = path.get(..at).and_then(|before| before.rfind('/'));
        let is_parent = |start: usize| path.get(start..at) == Some("/..");
        match before.filter(|start| at > 0 && !is_parent(*start)) {
            Some(start) => {
                path.replace_range(start..at + 3, "");
                from = 0;
            }
            None => from = at + 3,
        }
    }
    while path.ends_with("/..") {
        let at = path.len() - 3;
        let Some(start) = path.get(..at).and_then(|before| before.rfind('/')) else {
            break;
        };
        path.truncate(start + 1);
    }
    if path.starts_with("./") && path.len() > 2 {
        path.replace_range(..2, "");
    }
    if path.ends_with("/.") {
        path.truncate(path.len() - 1);
    }
    path
}
