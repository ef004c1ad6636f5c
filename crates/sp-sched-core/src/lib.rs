//! The scheduler as a pure function: events in, new state and effects out.
//!
//! No clocks, threads, sockets or randomness that is not passed in. The shell persists the rows of a step in one
//! atomic batch first and only then carries out its other effects; the same events give the same effects, bit for bit.
#![forbid(unsafe_code)]

pub mod effect;
pub mod event;
pub mod model;
pub mod view;
