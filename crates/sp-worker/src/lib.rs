//! What both workers share: connect, register, heartbeat, leases, attempts, executor children, data plane. No proofs.
//!
//! | to | use |
//! |---|---|
//! | be a worker | [`Worker::new`] with [`Options`], then [`Worker::run`] |
//! | have the arithmetic done in child processes | [`children::ChildExecutor`]; in the child, [`children::serve`] |
//! | have file operations done by children, a path each | [`disks::Disks`]; in the child, [`disks::serve`] |
//! | replace the arithmetic | [`executor::Executor`] |
#![forbid(unsafe_code)]

mod assignment;
mod attempt;
mod challenge;
pub mod children;
mod data_plane;
pub mod disks;
mod examine;
pub mod executor;
mod failure;
mod fences;
mod hardware;
mod index;
pub mod launch;
mod ledger;
mod leftovers;
mod node;
mod options;
mod outbox;
mod pace;
mod planes;
mod post;
mod renew;
mod requirements;
mod scrub;
mod session;
pub mod settings;
mod stores;
mod stray;
mod upload;
pub mod upstream_env;
mod worker;

pub use ledger::LedgerError;
pub use options::{Options, READ_TIMEOUT, ReadCapacity, Transfers};
pub use worker::{Worker, WorkerError};
