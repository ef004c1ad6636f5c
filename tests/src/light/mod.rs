//! A scheduler in this process with light workers and a light index around it: what benchmarks of many workers use.

pub mod cluster;
pub mod counting;
pub mod index;
pub mod tally;
pub mod worker;

pub use cluster::{Cluster, Setting};
pub use tally::Tally;
pub use worker::{Duty, LightWorker, Mark, Step};
