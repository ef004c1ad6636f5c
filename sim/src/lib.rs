//! The production services on a simulated network, disk and clock, under faults, one run per seed.
//!
//! A run has one index, one scheduler, two or three workers and one operator, and seals; a day ([`day`]) has some more
//! workers, and proves. Executors and verifier are fake, the chain is the local one; everything else is what the binaries
//! run. The same seed gives the same run.
#![forbid(unsafe_code)]

#[cfg(not(tokio_unstable))]
compile_error!("runs would not repeat: build in this directory, or add `--cfg tokio_unstable` to RUSTFLAGS");

pub mod agenda;
pub mod cast;
pub mod checks;
pub mod child;
pub mod day;
pub mod disk;
pub mod env;
pub mod fake;
pub mod faults;
pub mod links;
pub mod machine;
mod moves;
pub mod operator;
pub mod piece;
pub mod process;
pub mod relay;
pub mod rng;
pub mod runner;
pub mod scenario;
pub mod stage;
pub mod tally;
pub mod vault;
pub mod watch;
mod whims;
pub mod world;
