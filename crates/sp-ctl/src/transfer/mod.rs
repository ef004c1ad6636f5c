//! Moving the data of pieces between this machine and the data ports that the scheduler names.

mod download;
mod progress;
mod purpose;
mod source;
mod upload;

use std::time::Duration;

pub(crate) use download::{Download, receive};
pub(crate) use progress::bytes_bar;
pub(crate) use purpose::Purpose;
pub(crate) use source::Source;
pub(crate) use upload::{Upload, send_until_accepted};

/// Bytes of one part of a transfer.
const PART_BYTES: usize = 1 << 20;
/// A transfer that has not moved for this long is broken off and begun again where it stopped.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(60);
