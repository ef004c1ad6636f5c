//! The rules of the core under test, one subject a file. One program: the simulated world and the desk that they share
//! take longer to compile than all tests together.
// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod ahead;
mod anything;
mod bounded;
mod chaos;
mod cleanup;
mod clock;
mod data_cid;
mod day;
mod desk;
mod devices;
mod failures;
mod faults;
mod garbage;
mod groups;
mod history;
mod homes;
mod import;
mod machine;
mod operator;
mod partial;
mod paths;
mod phases;
mod placement;
mod proving;
mod race;
mod receive;
mod rehearsal;
mod restart;
mod sealing;
mod snap;
mod stray;
mod tables;
mod winning;
mod world;
mod yields;
