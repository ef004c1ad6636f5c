//! Proving: the other scheduler. It never waits for the index and never queues behind sealing.
//!
//! `call` is what the chain is asked, `day` knows what is to be proven at which opening, `job` is a PoSt with its
//! partitions, `drive` gives those to workers, `ahead` has them read while they prove, `loads` counts what they have, `result` and `watch` are what becomes of them, `submit` hands
//! proofs to the chain, `row` is what outlives the scheduler of all that, `recovery` finds out whose faults are over, `winning`
//! proves what was won, `rehearsal` proves in idle time what will have to be proven, and `slack` knows what will be late
//! before it is.

mod ahead;
pub mod call;

pub(crate) mod day;
pub(crate) mod drive;
pub(crate) mod job;
mod loads;
mod recovery;
pub mod rehearsal;
mod result;
pub mod row;
mod slack;
mod submit;
mod watch;
mod winning;
