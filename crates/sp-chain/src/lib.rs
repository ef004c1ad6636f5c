//! The miner actor as arithmetic: proving periods, the deadlines that sectors are given to, and a ledger that judges what is
//! handed in for them.
//!
//! No clocks, no storage, no proofs: whoever uses it says what epoch it is, keeps the changes, and verifies.
#![forbid(unsafe_code)]

mod assign;
mod deadlines;
mod ledger;
mod record;

pub use assign::{Assignment, Place, UnknownAssignment};
pub use deadlines::{CHALLENGE_LOOKBACK, DEADLINE_EPOCHS, FAULT_CUTOFF, Opening, PERIOD_EPOCHS, period_start};
pub use ledger::{Change, Claim, Ledger, OnChain, PartitionState, Refusal, Standing};
pub use record::{OpeningRecord, PartitionRecord, Verdict, WinRecord};
