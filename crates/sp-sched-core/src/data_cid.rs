//! DC: the commitment of a piece that is in no sector. Its task is one like any other, placed and counted as they are;
//! what it is about lives in memory, for the client who waits for it: after a restart nobody does, and the task ends.

use serde::{Deserialize, Serialize};
use sp_types::{
    ByteSize, ErrorCode, FileKind, PieceInfo, RegisteredSealProof, SectorSize, TaskId, TaskKind, WorkerId, padded_for,
};

use crate::core::Core;
use crate::data::PieceData;
use crate::effect::{Reply, TaskParams};
use crate::event::{Failure, TaskOutput};
use crate::explain::Refusal;
use crate::model::{OutputSlot, Task, UnixMs};
use crate::outputs::Room;
use crate::requests::Refused;
use crate::timers::Bell;
use crate::view::UploadView;

/// Commitments that are worked on at once.
const OPEN_MAX: usize = 64;
/// Answers that are kept for clients who have not asked for them yet.
const KEPT_MAX: usize = 256;
/// A client who has not asked for so long has gone: what it waited for ends.
const CLIENT_WAIT_MS: u64 = 60_000;
/// The smallest piece, with its padding.
const PADDED_MIN: u64 = 128;

/// What a client waits for.
#[derive(Debug, Clone)]
pub(crate) struct DataCid {
    data: PieceData,
    padded_bytes: u64,
    /// The client is gone if it has not asked again by then.
    until: UnixMs,
    /// None as long as there is a task.
    answer: Option<Result<PieceInfo, Failure>>,
}

/// What a client is told who asks for a commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataCidState {
    /// There is nothing to send now.
    Waiting {
        /// What is being waited for.
        detail: String,
    },
    /// The data is to be sent here.
    Upload {
        /// Data plane.
        data_url: String,
        /// Ticket.
        ticket: String,
    },
    /// Done.
    Done(PieceInfo),
    /// It came to nothing.
    Failed(Failure),
}

impl Core {
    // === requests ===

    /// Makes the task; the client asks for its outcome by its id.
    pub(crate) fn data_cid(&mut self, data: PieceData, padded_bytes: Option<u64>) -> Result<Reply, Refused> {
        let padded_bytes = padded_size(&data, padded_bytes)?;
        let open = self.data_cids.values().filter(|asked| asked.answer.is_none()).count();
        if open >= OPEN_MAX {
            let message = format!("{open} commitments are being computed already; wait for one to finish");
            return Err((ErrorCode::Unavailable, message));
        }
        let (task, until) = (self.next_task_id(), self.now.plus(CLIENT_WAIT_MS));
        self.data_cids.insert(task, DataCid { data, padded_bytes, until, answer: None });
        self.add_task(Task::new(task, TaskKind::DataCid, None, 0, self.now));
        self.wind(until, Bell::DataCid(task));
        Ok(Reply::DataCid { task, padded_bytes })
    }

    /// How far it is. To ask is to wait for it.
    pub(crate) fn get_data_cid(&mut self, task: TaskId) -> Result<Reply, Refused> {
        let until = self.now.plus(CLIENT_WAIT_MS);
        if let Some(asked) = self.data_cids.get_mut(&task).filter(|asked| asked.answer.is_none()) {
            asked.until = until;
        }
        match self.data_cid_state(task, self.now) {
            Some((state, _)) => Ok(Reply::DataCidState(state)),
            None => {
                let message = format!("there is no DC {task}: the scheduler has restarted, or nobody asked for long");
                Err((ErrorCode::NotFound, message))
            }
        }
    }

    /// How far it is, and whether its client has to say by a request that it still waits: looking alone says nothing.
    pub fn data_cid_state(&self, task: TaskId, now: UnixMs) -> Option<(DataCidState, bool)> {
        let asked = self.data_cids.get(&task)?;
        let is_soon_over = asked.answer.is_none() && asked.until.since(now) < CLIENT_WAIT_MS / 2;
        let state = match asked.answer.clone() {
            Some(Ok(piece)) => DataCidState::Done(piece),
            Some(Err(failure)) => DataCidState::Failed(failure),
            None => match self.upload_of(self.tasks.get(&task)) {
                Some(UploadView::Here { data_url, ticket }) => DataCidState::Upload { data_url, ticket },
                Some(UploadView::NotYet { detail }) => DataCidState::Waiting { detail },
                Some(UploadView::Accepted) | None => DataCidState::Waiting { detail: String::new() },
            },
        };
        Some((state, is_soon_over))
    }

    // === its task ===

    /// Does somebody wait for what this task is to find?
    pub(crate) fn data_cid_is_wanted(&self, task: TaskId) -> bool {
        self.data_cids.get(&task).is_some_and(|asked| asked.answer.is_none())
    }

    /// Proof that stands for the size: what it takes does not depend on it.
    pub(crate) fn data_cid_proof(&self) -> RegisteredSealProof {
        self.config.seal_proof()
    }

    /// What its worker is told.
    pub(crate) fn data_cid_params(&self, task: TaskId, ticket: &str) -> Result<TaskParams, String> {
        let asked = self.data_cids.get(&task).ok_or("nobody waits for it any more")?;
        let (data_bytes, data_digest) = (asked.data.data_bytes, asked.data.digest);
        Ok(TaskParams::DataCid { data_bytes, data_digest, ticket: ticket.to_owned(), padded_bytes: asked.padded_bytes })
    }

    /// Room for what is uploaded, on the best store that takes pieces in the making. It goes when the attempt ends.
    pub(crate) fn room_for_upload(&self, task: TaskId, worker: &WorkerId) -> Result<Vec<OutputSlot>, Refusal> {
        let gone = || Refusal::new("gone", "nobody waits for it any more".to_owned());
        let bytes = self.data_cids.get(&task).ok_or_else(gone)?.data.data_bytes;
        let kind = FileKind::Piece;
        let stores = self.healthy_stores(worker, &[kind], |store| store.can_seal && self.may_lie_on(store, kind))?;
        let store = Room::of(self).best(stores, bytes, |_| false, |_| false).map_err(|refusal| {
            let text = format!("{} for the upload", refusal.text);
            Refusal { text, ..refusal }
        })?;
        Ok(vec![OutputSlot { kind, store, reserved_bytes: bytes }])
    }

    /// Is this the piece that was asked for?
    pub(crate) fn data_cid_contradiction(&self, task: TaskId, output: &TaskOutput) -> Option<(ErrorCode, String)> {
        let (Some(asked), TaskOutput::DataCid(piece)) = (self.data_cids.get(&task), output) else { return None };
        (piece.padded_bytes != asked.padded_bytes).then(|| {
            let message =
                format!("a piece of {} bytes was asked for, not of {}", asked.padded_bytes, piece.padded_bytes);
            (ErrorCode::Internal, message)
        })
    }

    /// Its task is over, and this came of it. Who gets it is to ask within the wait of a client.
    pub(crate) fn answer_data_cid(&mut self, task: TaskId, answer: Result<PieceInfo, Failure>) {
        let until = self.now.plus(CLIENT_WAIT_MS);
        let Some(asked) = self.data_cids.get_mut(&task) else { return };
        (asked.answer, asked.until) = (Some(answer), until);
        self.wind(until, Bell::DataCid(task));
        let answered = self.data_cids.iter().filter(|(_, asked)| asked.answer.is_some()).map(|(id, _)| *id);
        let mut answered: Vec<TaskId> = answered.collect();
        answered.truncate(answered.len().saturating_sub(KEPT_MAX));
        answered.into_iter().for_each(|id| drop(self.data_cids.remove(&id)));
    }

    /// An operator or the client itself wants it no more.
    pub(crate) fn cancel_data_cid(&mut self, task: TaskId, why: &str) {
        self.end_task(task, None, why);
        self.answer_data_cid(task, Err(Failure { code: ErrorCode::Cancelled, message: why.to_owned() }));
    }

    /// The client may be gone.
    pub(crate) fn data_cid_bell(&mut self, task: TaskId) {
        let Some(asked) = self.data_cids.get(&task) else { return };
        if asked.until > self.now {
            return self.wind(asked.until, Bell::DataCid(task));
        }
        self.data_cids.remove(&task);
        self.end_task(task, None, "nobody waits for it any more");
    }

    /// Never more than may be open and may be kept.
    pub(crate) fn data_cids_are_bounded(&self) -> bool {
        sp_invariants::bounded(self.data_cids.len(), OPEN_MAX + KEPT_MAX)
    }

    /// What a task is about, in words.
    pub(crate) fn subject_of(&self, task: &Task) -> String {
        match (task.sector, self.data_cids.get(&task.id)) {
            (Some(number), _) => format!("sector {number}"),
            (None, Some(asked)) => format!("file {}", asked.data.name),
            (None, None) => "a file".to_owned(),
        }
    }
}

/// The padded size that the piece gets, or what is wrong with the one that was asked for.
fn padded_size(data: &PieceData, asked: Option<u64>) -> Result<u64, Refused> {
    let PieceData { data_bytes, name, .. } = data;
    if *data_bytes == 0 {
        return Err((ErrorCode::EmptyPiece, format!("`{name}` is empty; a piece has at least one byte")));
    }
    let most = SectorSize::GiB64.bytes();
    let Some(smallest) = padded_for(*data_bytes).filter(|bytes| *bytes <= most) else {
        let message = format!("`{name}` has {data_bytes} bytes: that is more than any sector holds");
        return Err((ErrorCode::PieceTooLarge, message));
    };
    let padded_bytes = asked.unwrap_or(smallest);
    if !padded_bytes.is_power_of_two() || !(PADDED_MIN..=most).contains(&padded_bytes) {
        let message = format!(
            "{padded_bytes} bytes are no padded size of a piece: that is a power of two from {PADDED_MIN} bytes to {}",
            ByteSize(most)
        );
        return Err((ErrorCode::BadRequest, message));
    }
    if padded_bytes < smallest {
        let room = padded_bytes / 128 * 127;
        let message = format!(
            "`{name}` has {data_bytes} bytes, a padded piece of {padded_bytes} bytes has room for {room}; the smallest \
             that holds it has {smallest} bytes"
        );
        return Err((ErrorCode::PieceTooLarge, message));
    }
    Ok(padded_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_is_the_default_and_others_are_judged() {
        let piece = |data_bytes| PieceData { data_bytes, digest: [1; 32], name: "f".to_owned() };
        let code = |bytes, asked| padded_size(&piece(bytes), asked).map_err(|(code, _)| code);
        assert_eq!(code(1, None), Ok(128));
        assert_eq!(code(127, None), Ok(128));
        assert_eq!(code(128, None), Ok(256));
        assert_eq!(code(1000, Some(4096)), Ok(4096));
        assert_eq!(code(0, None), Err(ErrorCode::EmptyPiece));
        assert_eq!(code(1000, Some(512)), Err(ErrorCode::PieceTooLarge));
        assert_eq!(code(1017, Some(1024)), Err(ErrorCode::PieceTooLarge));
        assert_eq!(code(u64::MAX, None), Err(ErrorCode::PieceTooLarge));
        for odd in [0, 1, 64, 129, 3000, 1 << 37] {
            assert_eq!(code(1, Some(odd)), Err(ErrorCode::BadRequest), "{odd}");
        }
        let (_, message) = padded_size(&piece(1000), Some(512)).unwrap_err();
        assert!(message.contains("room for 508") && message.contains("has 1024 bytes"), "{message}");
    }
}
