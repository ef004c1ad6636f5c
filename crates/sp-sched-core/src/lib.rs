//! The scheduler as a pure function: events in, new state and effects out.
//!
//! No clocks, threads, sockets or randomness that is not passed in. The shell persists the rows of a step in one
//! atomic batch first and only then carries out its other effects; the same events give the same effects, bit for bit.
//!
//! `core` holds the state and takes events apart; `queue`, `place` and `account` decide who gets what; `attempts` and
//! `results` are the life of a task given away; `pipeline`, `recover`, `snap`, `receive` and `remove` are the life of a
//! sector; `proving` is the other scheduler, `data_cid` the one kind of task that is about no sector.
#![forbid(unsafe_code)]

pub mod data;
pub mod data_cid;
pub mod effect;
pub mod event;
pub mod model;
pub mod proving;
pub mod view;

mod account;
mod assigner;
mod attempts;
mod chain;
mod config;
mod control;
mod core;
mod devices;
mod explain;
mod facts;
mod garbage;
mod groups;
mod history;
mod homes;
mod import;
mod laws;
mod learn;
mod locks;
mod log;
mod lookup;
mod observe;
mod open;
mod out;
mod outputs;
mod params;
mod pins;
mod pipeline;
mod place;
mod queue;
mod receive;
mod recover;
mod remove;
mod reports;
mod requests;
mod resources;
mod results;
mod sector;
mod snap;
mod stray;
mod tables;
mod timers;
mod turn;
mod unclaimed;
mod unsealed;
mod views;
mod waits;
mod window;
mod workers;

pub use crate::assigner::{Assigner, UnknownAssigner};
pub use crate::config::Config;
pub use crate::core::Core;
pub use crate::observe::Observation;
pub use crate::resources::{Resource, Shortage};
pub use crate::tables::ResourceTables;
pub use crate::unsealed::Held;
pub use crate::views::deadlines_of;
