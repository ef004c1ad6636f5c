//! The storage index: which file of which sector lies where, path health, reservations, fences, locks.
//!
//! `core` decides, `rows` keeps, `service` connects; `wire` and its sisters translate at the edge.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod bench;
mod core;
mod rows;
mod service;
mod wire;
mod wire_lock;
mod wire_query;

pub use rows::RowError;
pub use service::{Options, RunError, Running, Service, StartError};

/// Version of the rows' layout, for whoever opens the state file.
pub const SCHEMA_VERSION: u32 = rows::SCHEMA_VERSION;
