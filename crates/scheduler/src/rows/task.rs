//! Rows `task/<id>`: a task with its attempts that have not ended.

use sp_proto::convert::{WireError, file_kind, required, store_id, task_kind};
use sp_proto::v1;
use sp_proto::v1::StoredAttemptState as Stored;
use sp_sched_core::model::{Attempt, AttemptState, OutputSlot, Task, UnixMs};
use sp_types::{HostId, TaskId, TaskKind, WorkerId};

use super::{RowError, number_in, numbered, parse};

pub(super) const PREFIX: &[u8] = b"task/";

pub(super) fn key(id: TaskId) -> Vec<u8> {
    numbered(PREFIX, id.0)
}

pub(super) fn encode(task: &Task) -> v1::StoredTask {
    let Task { id, kind, sector, priority, queued, not_before, attempts, last_number, failures, last_error } = task;
    v1::StoredTask {
        id: id.0,
        kind: v1::TaskKind::from(*kind) as i32,
        sector: sector.unwrap_or_default(),
        priority: *priority,
        queued_unix_ms: queued.0,
        not_before_unix_ms: not_before.0,
        attempts: attempts.iter().map(encode_attempt).collect(),
        last_number: *last_number,
        failures: *failures,
        last_error: last_error.clone(),
    }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Task, RowError> {
    let row = format!("task/{}", number_in(PREFIX, key)?);
    from_stored(parse(&row, value)?).map_err(|e| RowError::new(row, e))
}

fn from_stored(stored: v1::StoredTask) -> Result<Task, WireError> {
    let v1::StoredTask {
        id,
        kind,
        sector,
        priority,
        queued_unix_ms,
        not_before_unix_ms,
        attempts,
        last_number,
        failures,
        last_error,
    } = stored;
    let kind = task_kind(kind)?;
    Ok(Task {
        id: TaskId(id),
        kind,
        sector: sector_of(kind, sector),
        priority,
        queued: UnixMs(queued_unix_ms),
        not_before: UnixMs(not_before_unix_ms),
        attempts: attempts.into_iter().map(decode_attempt).collect::<Result<_, _>>()?,
        last_number,
        failures,
        last_error,
    })
}

/// A stored sector number: of a kind that is about none it says nothing.
pub(super) fn sector_of(kind: TaskKind, stored: u64) -> Option<u64> {
    (kind != TaskKind::DataCid).then_some(stored)
}

fn encode_attempt(attempt: &Attempt) -> v1::StoredAttempt {
    let Attempt { id, worker, host, state, outputs, created, upload_ticket, held, gpus, group } = attempt;
    v1::StoredAttempt {
        id: Some((*id).into()),
        worker: worker.to_string(),
        host: host.to_string(),
        state: encode_state(*state) as i32,
        outputs: outputs.iter().cloned().map(encode_output).collect(),
        created_unix_ms: created.0,
        upload_ticket: upload_ticket.clone(),
        held: *held,
        gpus: gpus.iter().cloned().map(Into::into).collect(),
        group: group.iter().copied().map(Into::into).collect(),
    }
}

fn decode_attempt(stored: v1::StoredAttempt) -> Result<Attempt, WireError> {
    let v1::StoredAttempt { id, worker, host, state, outputs, created_unix_ms, upload_ticket, held, gpus, group } =
        stored;
    Ok(Attempt {
        id: required("attempts.id", id)?.into(),
        worker: WorkerId::new(worker).map_err(|e| invalid("attempts.worker", e))?,
        host: HostId::new(host).map_err(|e| invalid("attempts.host", e))?,
        state: decode_state(state)?,
        outputs: outputs.into_iter().map(decode_output).collect::<Result<_, _>>()?,
        created: UnixMs(created_unix_ms),
        upload_ticket,
        held,
        gpus: gpus.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        group: group.into_iter().map(Into::into).collect(),
    })
}

fn invalid(field: &'static str, reason: impl ToString) -> WireError {
    WireError::Invalid { field, reason: reason.to_string() }
}

fn encode_state(state: AttemptState) -> Stored {
    match state {
        AttemptState::Reserving => Stored::Reserving,
        AttemptState::Granted => Stored::Granted,
    }
}

fn decode_state(number: i32) -> Result<AttemptState, WireError> {
    let known = [AttemptState::Reserving, AttemptState::Granted].into_iter();
    let mut known = known.filter(|s| encode_state(*s) as i32 == number);
    known.next().ok_or_else(|| invalid("attempts.state", format!("unknown attempt state {number}")))
}

fn encode_output(output: OutputSlot) -> v1::StoredOutput {
    let OutputSlot { kind, store, reserved_bytes } = output;
    v1::StoredOutput { kind: v1::FileKind::from(kind) as i32, store: store.to_string(), reserved_bytes }
}

fn decode_output(stored: v1::StoredOutput) -> Result<OutputSlot, WireError> {
    let v1::StoredOutput { kind, store, reserved_bytes } = stored;
    Ok(OutputSlot { kind: file_kind(kind)?, store: store_id(&store)?, reserved_bytes })
}
