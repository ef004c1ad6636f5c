//! Headers of HTTP requests to others: their values are often secrets, and are kept out of everything that people read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest value, bytes.
const VALUE_BYTES_MAX: usize = 8192;

/// Headers that whoever asks sets himself.
const OURS: [&str; 7] =
    ["host", "range", "if-range", "connection", "content-length", "transfer-encoding", "accept-encoding"];

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Secret,
}

/// Why a text is no header. The value is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write 'Name: value', as 'Authorization: Bearer TOKEN'")]
pub struct BadHeader(String);

impl HttpHeader {
    /// A header that may be sent.
    pub fn new(name: &str, value: &str) -> Result<Self, BadHeader> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            return Err(BadHeader("that is no name of a header".to_owned()));
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(BadHeader(format!("the header {name} is set by whoever downloads")));
        }
        let is_plain = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        if value.len() > VALUE_BYTES_MAX || !value.bytes().all(is_plain) {
            return Err(BadHeader(format!("the value of the header {name} is too long or not plain ASCII")));
        }
        Ok(Self { name: name.to_owned(), value: Secret::new(value) })
    }
}

/// Parses `Name: value`.
impl FromStr for HttpHeader {
    type Err = BadHeader;
    fn from_str(text: &str) -> Result<Self, BadHeader> {
        let (name, value) = text.split_once(':').ok_or_else(|| BadHeader("a header has a colon".to_owned()))?;
        Self::new(name.trim(), value.trim())
    }
}

/// A text that is shown to nobody. Serde writes nothing of it either, so that a recording does not hold it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever sends or stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_shown() {
        let header = HttpHeader { name: "Authorization".to_owned(), value: Secret::new("Bearer abc") };
        assert_eq!(header.value.reveal(), "Bearer abc");
        assert!(!format!("{header:?}").contains("abc"));
    }

    #[test]
    fn headers_are_parsed_and_judged() {
        let header: HttpHeader = "Authorization:  Bearer a:b ".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.reveal()), ("Authorization", "Bearer a:b"));
        for bad in [
            "secret",
            ": secret",
            "a b: secret",
            "Host: secret",
            "range: secret",
            "A: secret\r\nB: c",
            "A: secret\u{e4}",
        ] {
            let why = bad.parse::<HttpHeader>().unwrap_err().to_string();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
