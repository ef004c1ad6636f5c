//! Tests of real processes: a cluster on loopback that is started, killed, restarted and asked through `sp-ctl`.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the harness stands outside the services and watches real time")]

pub mod audit;
pub mod cluster;
pub mod executions;
pub mod figures;
pub mod jobs;
pub mod judge;
pub mod light;
pub mod mounts;
pub mod operation;
pub mod parameters;
pub mod process;
pub mod random;
pub mod shelf;
pub mod spent;
pub mod stores;
pub mod wait;

pub use cluster::{Cluster, Role, Setup};
