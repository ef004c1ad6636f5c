//! The driver: one task owns the core, takes everything that happens in order, persists, and only then acts.

mod doing;
mod handle;
mod index_port;
mod input;
mod outputs;
mod registry;
mod run;
mod store_order;
mod tape;

pub(crate) use handle::{Gone, Handle, Seen};
pub(crate) use index_port::IndexStream;
pub(crate) use input::Input;
pub(crate) use registry::Outgoing;
pub(crate) use run::{Driver, DriverError, Parts};
pub(crate) use store_order::{StoreAnswer, StoreAnswered, StoreOrder, attached, changed, scrubbed};
pub use tape::Recording;
pub(crate) use tape::Tape;

/// Inputs that may wait for the driver; senders wait beyond that.
const INPUTS_MAX: usize = 1024;

/// Inputs that become one batch of rows at most, so that no one waits long for the commit.
const INPUTS_PER_BATCH: usize = 256;
