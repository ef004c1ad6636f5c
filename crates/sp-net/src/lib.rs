//! What every service does the same: connections, limits, health, reflection, logs, configuration, drain; the real `Env`.
#![forbid(unsafe_code)]

mod net;

pub use net::{BoxIo, Env, Io, Listener, Net};
