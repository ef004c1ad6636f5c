//! Where the files of a sector are downloaded from: what stands before `/{kind}/{sector}`.

use std::fmt;
use std::str::FromStr;

/// Longest URL, bytes.
const URL_BYTES_MAX: usize = 2048;

/// The port of `http://` where none is given.
const HTTP_PORT: u16 = 80;

/// A checked URL, as `http://miner:2345/remote`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUrl {
    host: String,
    port: u16,
    /// Empty, or a `/` and more, without one at its end.
    path: String,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSourceUrl {
    /// There is no TLS.
    #[error(
        "`{0}` asks for TLS, which this build cannot do: let something on the way take it off (a reverse proxy, \
         `ssh -L`) and give its http:// URL"
    )]
    NoTls(String),
    /// Something else is wrong.
    #[error("`{url}` is no URL to download from: {reason}; write http://HOST:PORT/PATH, as http://miner:2345/remote")]
    Bad {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SourceUrl {
    /// `host:port`, to connect to and for the header `Host`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The path, with more after it.
    pub fn path_of(&self, more: &str) -> String {
        format!("{}/{more}", self.path)
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host)?;
        if self.port != HTTP_PORT {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl FromStr for SourceUrl {
    type Err = BadSourceUrl;
    fn from_str(text: &str) -> Result<Self, BadSourceUrl> {
        // What is too long, or hides a password, is not repeated.
        let bad = |reason| Err(BadSourceUrl::Bad { url: text.chars().take(80).collect(), reason });
        if text.len() > URL_BYTES_MAX {
            return bad("it is too long");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad("it holds characters that a URL does not have; write them as %XX");
        }
        if scheme_is(text, "https://") {
            return Err(BadSourceUrl::NoTls(text.to_owned()));
        }
        if !scheme_is(text, "http://") {
            return bad("it does not begin with http://");
        }
        let rest = &text["http://".len()..];
        if rest.contains('@') {
            let url = "http://…@…".to_owned();
            return Err(BadSourceUrl::Bad { url, reason: "a name and password go into a --header" });
        }
        if rest.contains(['?', '#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return bad("the names of the files come after it, so it has no query");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.trim_end_matches('/').to_owned();
        if path.split('/').any(|part| matches!(part, "." | "..")) {
            return bad("it goes up and down");
        }
        let (host, port) = match split_port(authority) {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)),
            None => (authority, Some(HTTP_PORT)),
        };
        match port {
            _ if host.is_empty() => bad("it names no host"),
            Some(port) => Ok(Self { host: host.to_owned(), port, path }),
            None => bad("its port is none"),
        }
    }
}

fn scheme_is(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Host and port, if there is a port; a `:` within brackets is of the host.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = authority.rsplit_once(':')?;
    (!port.contains(']')).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_taken_apart() {
        for (text, authority, file) in [
            ("http://miner:2345/remote", "miner:2345", "/remote/sealed/s"),
            ("http://miner:2345/remote/", "miner:2345", "/remote/sealed/s"),
            ("HTTP://web", "web:80", "/sealed/s"),
            ("http://[::1]:7/a/b%20c", "[::1]:7", "/a/b%20c/sealed/s"),
            ("http://[::1]/", "[::1]:80", "/sealed/s"),
        ] {
            let url: SourceUrl = text.parse().unwrap();
            assert_eq!((url.authority().as_str(), url.path_of("sealed/s").as_str()), (authority, file));
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn bad_ones_say_why() {
        for (text, words) in [
            ("https://miner/remote", "TLS"),
            ("miner:2345", "begin with http://"),
            ("ftp://miner", "begin with http://"),
            ("http://", "no host"),
            ("http://:80/x", "no host"),
            ("http://h:0", "port"),
            ("http://h:99999", "port"),
            ("http://h/a?b=c", "query"),
            ("http://h/a/../b", "up and down"),
            ("http://h/a b", "%XX"),
            ("http://h/ä", "%XX"),
        ] {
            let why = text.parse::<SourceUrl>().unwrap_err().to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
        let secret = "http://me:secret@h/".parse::<SourceUrl>().unwrap_err().to_string();
        assert!(secret.contains("--header") && !secret.contains("secret@"), "{secret}");
        assert!(format!("http://h/{}", "a".repeat(3000)).parse::<SourceUrl>().unwrap_err().to_string().len() < 300);
    }
}
