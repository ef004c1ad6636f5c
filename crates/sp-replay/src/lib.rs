//! Recordings of the scheduler's core, and playing them again.
//!
//! The core is a pure function of its start and of `(now, event)`, so a recording of those is all that is needed to
//! see every decision again. `frame` is how a recording survives on a disk, `record` what is in it, `replay` feeds it to
//! the same core and compares. No network and no decisions here.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod excerpt;
mod frame;
mod record;
mod replay;

pub use frame::Ending;
pub use record::{Recorder, Start};
pub use replay::{Difference, ReplayError, Report, replay};
