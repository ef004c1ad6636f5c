//! Built-in workers: children of the scheduler's host that outlive a crash of the scheduler and are adopted after it.
// Starts and finds real processes: only the binary uses it, never a simulation.
#![allow(clippy::disallowed_methods)]

mod keeper;
mod process;
mod record;

pub use keeper::{BuiltinWorker, BuiltinWorkers};
