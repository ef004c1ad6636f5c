//! Simulated disks: one of blocks under a state file, and a file system whose calls fail on demand.

mod blocks;
mod flaky;
mod trouble;

pub use blocks::{BlockFile, Handle};
pub use flaky::FlakyDisk;
pub use trouble::Trouble;
