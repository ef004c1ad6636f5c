//! The scheduler service: the shell around `sp-sched-core`. It wires streams, state, verifier and chain to the core;
//! no rule about tasks lives here.
#![forbid(unsafe_code)]

mod rows;
