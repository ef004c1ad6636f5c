//! What every service does the same: connections, limits, health, reflection, logs, configuration, drain; the real `Env`.
//!
//! | to | use |
//! |---|---|
//! | take time, randomness, tasks and sockets from the machine | [`Env::real`], and the helpers of [`Env`] |
//! | dial a service | [`client::channel`] |
//! | stream large messages without copying them | [`bulk`] |
//! | be a service | [`server::Server`] with [`server::Services`], [`sized!`] |
//! | answer an error that programs can rely on | [`status::to_status`] |
//! | read the configuration | [`config`] |
//! | show figures | [`metrics::MetricsPort`] |
//! | count what is refused | [`refusals::Refusals`] |
//! | own a data directory | [`lock::DataDir`] |
//! | speak with a child over its pipes | [`frame`], [`child`] |
#![forbid(unsafe_code)]
// The real side of the seam lies here: this crate is what may read the clock, start threads and open files.
#![allow(clippy::disallowed_methods)]

pub mod announce;
pub mod bulk;
pub mod child;
pub mod client;
pub mod config;
mod env;
pub mod frame;
pub mod host;
pub mod limits;
pub mod lock;
pub mod logs;
pub mod metrics;
mod net;
mod real;
pub mod refusals;
pub mod retry;
pub mod server;
pub mod shutdown;
pub mod status;

pub use client::NetError;
pub use env::Elapsed;
pub use net::{Accepting, BoxIo, Env, Io, Listener, Net};
