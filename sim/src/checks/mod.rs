//! What must hold of a whole run: while it goes on, when it rests, and after everybody has lost power.

mod files;
mod rest;
mod truth;
mod updates;

use std::collections::BTreeMap;

use sp_sectors::MemDisk;

pub use files::{look, lost};
pub use rest::unfinished;
pub use truth::wrong;

/// Disks of workers by the name of their host.
pub type Disks<'a> = BTreeMap<&'a str, &'a MemDisk>;
