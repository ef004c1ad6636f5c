//! Wire messages to events of the core, effects and views of the core to wire messages. Every one destructures.

mod assign;
mod capacity;
mod facts;
mod failure;
mod post;
mod register;
mod results;
#[cfg(test)]
mod tests;
mod verify;
mod views;

pub(crate) use assign::{assign, cancel, registered, result_ack, start, stop, sweep_work, yield_attempt};
pub(crate) use facts::{answered_delete, delete_replica, fact_event, fence, presented, release, reserve};
pub(crate) use failure::{failure, failure_message};
pub(crate) use post::{check_reply, opening, post_reply, rehearsal, verdict, win};
pub(crate) use register::{Admission, BadRenewal, registration, renewal};
pub(crate) use results::{stray_work, task_result};
pub(crate) use verify::{verify_post, verify_seal, verify_update, verify_warm};
pub(crate) use views::{
    byte_range, data_piece, explanation, finished, job, pin, replica_count, resource_row, sector_piece, sector_status,
    sector_summary, state_count, worker_status,
};

use sp_proto::convert::WireError;

fn invalid(field: &'static str, reason: impl ToString) -> WireError {
    WireError::Invalid { field, reason: reason.to_string() }
}
