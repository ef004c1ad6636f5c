//! Where files come from: a gateway by their content ids, a web server or a directory by their names.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::wanted::Wanted;

/// Lotus's variable for the gateway.
pub const IPFS_GATEWAY_ENV: &str = "IPFS_GATEWAY";

/// The network's own gateway, the default of Lotus too.
const GATEWAY: &str = "https://proofs.filecoin.io/ipfs/";

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A gateway: the content id is put behind this URL.
    Gateway(String),
    /// A web server: the name is put behind this URL, which ends in a slash.
    Web(String),
    /// A directory that holds the files under their names.
    Directory(PathBuf),
}

/// A text that is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is no source of parameters: {problem}")]
pub struct BadSource {
    shown: String,
    problem: &'static str,
}

impl Source {
    /// The gateway that `IPFS_GATEWAY` names, as Lotus reads it (`http://127.0.0.1:8080/ipfs/`); without one that of the
    /// network.
    pub fn gateway(named: Option<&str>) -> Result<Self, BadSource> {
        let url = match named {
            None | Some("") => GATEWAY,
            Some(named) => named,
        };
        check_url(url)?;
        // Lotus puts the content id right behind it; a slash that was forgotten is no reason to fail.
        let slash = if url.ends_with(['/', '=']) { "" } else { "/" };
        Ok(Self::Gateway(format!("{url}{slash}")))
    }

    /// Where a web source has a file.
    pub(super) fn url(&self, wanted: &Wanted) -> Option<String> {
        match self {
            Self::Gateway(url) => Some(format!("{url}{}", wanted.cid)),
            Self::Web(url) => Some(format!("{url}{}", wanted.name)),
            Self::Directory(_) => None,
        }
    }
}

impl FromStr for Source {
    type Err = BadSource;

    /// A URL of a web server, or the path of a directory.
    fn from_str(text: &str) -> Result<Self, BadSource> {
        if text.is_empty() {
            return Err(BadSource { shown: String::new(), problem: "give a directory or a URL" });
        }
        if !text.contains("://") {
            return Ok(Self::Directory(text.into()));
        }
        check_url(text)?;
        if text.contains(['?', '#']) {
            return Err(bad(text, "names of files are put behind it, so it must be a plain URL without `?` and `#`"));
        }
        Ok(Self::Web(format!("{}/", text.trim_end_matches('/'))))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(url) | Self::Web(url) => f.pad(url),
            Self::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The URL's host and path as far as they matter here; the client judges the rest.
fn check_url(url: &str) -> Result<(), BadSource> {
    let scheme = |scheme: &str| url.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
    let Some(scheme) = scheme("http://").or_else(|| scheme("https://")) else {
        return Err(bad(url, "a URL starts with http:// or https://"));
    };
    let rest = &url[scheme.len()..];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(bad(url, "user names and passwords in URLs end up in logs and are not taken"));
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(bad(url, "it names no host"));
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad(url, "a URL has no spaces"));
    }
    Ok(())
}

/// Says what is wrong without repeating a password.
fn bad(text: &str, problem: &'static str) -> BadSource {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://...@{host}"),
        _ => text.to_owned(),
    };
    BadSource { shown, problem }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sp_types::SectorSize;

    use super::super::super::Kind;
    use super::*;

    fn file() -> Wanted {
        Wanted::published(&[Kind::Window], SectorSize::KiB2).remove(0)
    }

    #[test]
    fn gateways_are_lotus_s() {
        let url = |named| Source::gateway(named).unwrap().url(&file()).unwrap();
        let cid = file().cid;
        assert_eq!(url(None), format!("https://proofs.filecoin.io/ipfs/{cid}"));
        assert_eq!(url(Some("")), url(None));
        assert_eq!(url(Some("http://h:1/ipfs/")), format!("http://h:1/ipfs/{cid}"));
        assert_eq!(url(Some("http://h:1/ipfs")), format!("http://h:1/ipfs/{cid}"));
        assert_eq!(url(Some("http://h/get?cid=")), format!("http://h/get?cid={cid}"));
        assert!(Source::gateway(Some("proofs.filecoin.io")).is_err());
    }

    #[test]
    fn a_source_is_a_url_or_a_directory() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(source("/mnt/p"), Ok(Source::Directory("/mnt/p".into())));
        assert_eq!(source("p"), Ok(Source::Directory("p".into())));
        assert_eq!(source("HTTP://h/p//"), Ok(Source::Web("HTTP://h/p/".into())));
        assert_eq!(source("http://h").unwrap().url(&file()), Some(format!("http://h/{}", file().name)));
        for (text, word) in [
            ("", "give a directory"),
            ("ftp://h/p", "http://"),
            ("http://", "no host"),
            ("http://:80/", "no host"),
            ("http://h/p?x", "`?`"),
            ("http://h/a b", "spaces"),
        ] {
            assert!(source(text).unwrap_err().to_string().contains(word), "{text}");
        }
        let refused = source("http://me:secret@h/p").unwrap_err().to_string();
        assert!(refused.contains("logs") && !refused.contains("secret"), "{refused}");
    }

    proptest! {
        /// What is accepted as a web source gives URLs in which the name of the file is the last part of the path.
        #[test]
        fn names_end_urls(text in "(https?://)?[-a-z0-9.:/?#@% ]{0,20}") {
            if let Ok(source @ Source::Web(_)) = text.parse::<Source>() {
                let url = source.url(&file()).unwrap();
                let (_, rest) = url.split_once("://").unwrap();
                let parts: Vec<_> = rest.split('/').collect();
                prop_assert_eq!(*parts.last().unwrap(), file().name);
                prop_assert!(!parts[0].is_empty() && !parts[0].contains('@') && !url.contains(['?', '#', ' ']));
            }
        }
    }
}
