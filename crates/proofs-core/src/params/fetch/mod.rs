//! Fetching published parameters: from a gateway, a web server or a directory, and never a byte that is not upstream's.
//!
//! A file comes into a hidden one beside its place and is digested on its way. It gets its name when its digest is the
//! published one; until then a break, a crash or an interrupt costs nothing but what was in flight.

mod bring;
mod check_in;
mod download;
mod error;
mod http;
mod options;
mod part;
mod progress;
mod provide;
mod range;
mod seen;
mod source;
mod wanted;

pub use bring::{Fetched, fetch};
pub use error::FetchError;
pub use options::{FetchOptions, Patience};
pub use progress::{FetchPhase, FetchProgress};
pub use provide::provide;
pub use source::{BadSource, IPFS_GATEWAY_ENV, Source};
pub use wanted::{BadManifest, Wanted};

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
