//! Scrubs: every replica of a store is read in the background and compared with its digests, one store beside the other.
//!
//! How far a scrub is lies in the data directory, so that it goes on after a restart; it goes on with a whole replica,
//! never in the middle of one. A store is scrubbed by one task at a time. One that hangs holds up nothing else.

mod deep;
mod digests;
mod order;
mod record;
mod run;
mod state;

pub(crate) use order::{let_go, obey, take_up};
pub(crate) use record::{Scrubs, forget};
