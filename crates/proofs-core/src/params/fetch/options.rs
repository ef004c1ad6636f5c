//! From where files are fetched, and how patiently.

use std::time::Duration;

use super::error::FetchError;
use super::source::{IPFS_GATEWAY_ENV, Source};

/// From where, how patiently, and how much is said about it.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Where the files come from.
    pub source: Source,
    /// What is borne from a source.
    pub patience: Patience,
    /// Whether the proxy that `HTTPS_PROXY` and its like name is used.
    pub proxy_from_env: bool,
    /// How often progress is reported at most while nothing new begins.
    pub report_every: Duration,
}

/// What is borne from a source before it is given up.
#[derive(Debug, Clone)]
pub struct Patience {
    /// To find the host, and then to connect to it.
    pub connect: Duration,
    /// Until an answer begins, and between two parts of it.
    pub silence: Duration,
    /// Tries in a row that bring next to nothing.
    pub tries: u32,
    /// Pause after the first of them; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl FetchOptions {
    /// The usual ones, for a source.
    pub fn new(source: Source, report_every: Duration) -> Self {
        Self { source, patience: Patience::default(), proxy_from_env: true, report_every }
    }

    /// The usual ones, for the gateway that the environment names.
    pub fn from_gateway(report_every: Duration) -> Result<Self, FetchError> {
        let named = std::env::var_os(IPFS_GATEWAY_ENV).map(|url| url.to_string_lossy().into_owned());
        Ok(Self::new(Source::gateway(named.as_deref())?, report_every))
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            tries: 10,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}
