//! The scheduler service: the shell around `sp-sched-core`. It wires streams, state, verifier and chain to the core;
//! no rule about tasks lives here.
//!
//! [`Service`] is the whole of it. It takes time, randomness, tasks and sockets from an `Env`, its rows from a `State`,
//! verdicts from a [`Verifier`] and epochs from a [`Chain`], so it runs on a simulated machine as it is.
//! [`BuiltinWorkers`] and [`VerifierProcesses`] are the parts that start real processes; only the binary uses them.
#![forbid(unsafe_code)]

mod api;
mod board;
mod builtin;
mod chain;
mod driver;
mod index;
mod metrics;
mod policy;
mod recall;
mod rows;
mod service;
mod troubles;
mod verify;
mod wire;
mod workers;

pub use builtin::{BuiltinWorker, BuiltinWorkers};
pub use chain::{
    Assignment, CHALLENGE_LOOKBACK, Chain, ChainFailure, DEADLINE_EPOCHS, FAULT_CUTOFF, LocalChain, LocalChainError,
    LocalChainOptions, Opening, PERIOD_EPOCHS, Place, UnknownAssignment, period_start,
};
pub use driver::Recording;
pub use policy::SealingOptions;
pub use rows::SCHEMA_VERSION;
pub use service::{Placement, Service, ServiceError, ServiceOptions};
pub use troubles::Troubles;
pub use verify::{
    Question, Verifier, VerifierOptions, VerifierProcesses, parameters_are_insecure, refuse_insecure_parameters,
};
