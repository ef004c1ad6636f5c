//! Views of the core for operators.

use std::ops::Range;

use sp_proto::convert::resource_row_to_wire;
use sp_proto::v1;
use sp_sched_core::Held;
use sp_sched_core::data::{PieceData, PlacedPiece, SectorData};
use sp_sched_core::model::{Finished, LogEntry, Pin, Sector, UnixMs, Update};
use sp_sched_core::view::{Explanation, JobView, ResourceView, Verdict, Where, WorkerView};
use sp_types::{ChainEpoch, Commitment, FileKind, RegisteredSealProof, SectorState, StoreId, TaskId, TaskKind};

/// A worker as `sp-ctl workers` shows it.
pub(crate) fn worker_status(view: WorkerView) -> v1::WorkerStatus {
    let WorkerView {
        worker,
        session,
        host,
        name,
        build,
        class,
        builtin,
        connected,
        disabled_reason,
        tasks,
        capacity,
        limits,
        cpus_used,
        memory_min_used_bytes,
        memory_max_used_bytes,
        gpus_used,
        gpus_in_use,
        counts,
        stores,
        data_url,
        pid,
        row,
        windows,
        windows_limit,
        empty,
        connected_ms,
    } = view;
    v1::WorkerStatus {
        worker_id: worker.to_string(),
        session_id: session.to_string(),
        host_id: host.to_string(),
        name,
        build,
        class: class.to_string(),
        builtin,
        connected,
        disabled_reason,
        tasks: tasks.into_iter().map(|t| v1::TaskKind::from(t) as i32).collect(),
        capacity: Some(capacity.into()),
        limits: Some(limits.into()),
        cpus_used,
        memory_min_used_bytes,
        memory_max_used_bytes,
        gpus_used,
        gpus_in_use: gpus_in_use.iter().map(ToString::to_string).collect(),
        counts: counts.into_iter().map(task_count).collect(),
        stores: stores.iter().map(ToString::to_string).collect(),
        data_url,
        pid,
        connected_ms,
        cordoned: row.cordoned,
        draining: row.draining,
        finish_pipelines: row.finish_pipelines,
        disabled_tasks: row.disabled.into_iter().map(|t| v1::TaskKind::from(t) as i32).collect(),
        windows: windows.into_iter().map(window).collect(),
        windows_limit: u32::try_from(windows_limit).unwrap_or(u32::MAX),
        empty,
    }
}

/// A row of the resource table.
pub(crate) fn resource_row(view: ResourceView) -> v1::AppliedResourceRow {
    let ResourceView { kind, size, row, from } = view;
    v1::AppliedResourceRow { row: Some(resource_row_to_wire(kind, size, row)), from: from.to_owned() }
}

fn window(tasks: Vec<TaskId>) -> v1::TaskWindow {
    v1::TaskWindow { tasks: tasks.into_iter().map(|task| task.0).collect() }
}

fn task_count((task, seal_proof, count, limit): (TaskKind, RegisteredSealProof, u32, u32)) -> v1::TaskCount {
    v1::TaskCount { task: v1::TaskKind::from(task) as i32, seal_proof: seal_proof.id(), count, limit }
}

/// Where a task is, and why.
pub(crate) fn explanation(view: Explanation) -> v1::ExplainTaskReply {
    let Explanation { task, kind, sector, priority, waited_ms, place, general, verdicts, failures, last_error } = view;
    let (place, worker, attempt, window, reason) = match place {
        Where::Queue => ("queue", String::new(), 0, 0, String::new()),
        Where::Window { worker, window, reason } => ("window", worker, 0, window, reason),
        Where::Attempt { attempt, worker, state, since_ms } => {
            (state, worker, attempt.number, 0, format!("for {} s", since_ms / 1_000))
        }
    };
    v1::ExplainTaskReply {
        task_id: task.0,
        task: v1::TaskKind::from(kind) as i32,
        sector: sector.unwrap_or_default(),
        priority,
        waited_ms,
        place: place.to_owned(),
        worker,
        attempt,
        window: u32::try_from(window).unwrap_or(u32::MAX),
        reason,
        general,
        verdicts: verdicts.into_iter().map(verdict).collect(),
        failures,
        last_error,
        stale_ms: 0,
    }
}

fn verdict(verdict: Verdict) -> v1::WorkerVerdict {
    let Verdict {
        worker,
        name,
        reason,
        code,
        amounts,
        users,
        score,
        utilisation,
        expected_ms,
        samples,
        missing_bytes,
        fetch_ms,
        failures,
    } = verdict;
    v1::WorkerVerdict {
        worker_id: worker.to_string(),
        name,
        code: code.to_owned(),
        reason,
        needed: amounts.map(|(needed, _)| needed),
        free: amounts.map(|(_, free)| free),
        users: users.into_iter().map(|(task, _)| task.0).collect(),
        score,
        utilisation,
        expected_ms,
        samples,
        missing_bytes,
        fetch_ms,
        failures,
    }
}

/// A task or attempt.
pub(crate) fn job(view: JobView) -> v1::Job {
    let JobView {
        task_id,
        attempt,
        task,
        sector,
        worker,
        host_name,
        state,
        age_ms,
        fraction,
        detail,
        gpus,
        reasons,
        failures,
        last_error,
    } = view;
    v1::Job {
        task_id: task_id.0,
        attempt: attempt.map_or(0, |a| a.number),
        task: v1::TaskKind::from(task) as i32,
        sector: sector.unwrap_or_default(),
        worker_id: worker.map(|w| w.to_string()).unwrap_or_default(),
        host_name,
        state: state.to_owned(),
        age_ms,
        fraction,
        detail,
        gpus: gpus.into_iter().map(Into::into).collect(),
        reasons,
        failures,
        last_error,
    }
}

/// A sector in one line; `waiting` is what the core says it waits for.
pub(crate) fn sector_summary(sector: &Sector, waiting: String, now: UnixMs) -> v1::SectorSummary {
    let until = sector.proving_since.unwrap_or(now);
    v1::SectorSummary {
        number: sector.number,
        state: sector.state.to_string(),
        seal_proof: sector.seal_proof.id(),
        data_bytes: sector.stored_data().map_or(0, SectorData::data_bytes),
        comm_r: bytes(sector.present_comm_r()),
        deadline: sector.location.map(|(deadline, _)| deadline.0),
        partition: sector.location.map(|(_, partition)| partition.0),
        failures: sector.failures,
        last_error: sector.last_error.clone(),
        seal_ms: until.0.saturating_sub(sector.created.0),
        waiting,
        stopped: sector.is_stopped(),
        retry_unix_ms: sector.trouble.retry_at.filter(|_| sector.state.is_failure()).map(|t| t.0),
        updated: sector.is_updated(),
        priority: sector.priority,
        proven: sector.is_proven(),
    }
}

fn bytes(commitment: Option<Commitment>) -> Vec<u8> {
    commitment.map(|c| c.0.to_vec()).unwrap_or_default()
}

/// Everything about a sector.
pub(crate) fn sector_status(sector: &Sector, waiting: String, now: UnixMs, with_log: bool) -> v1::SectorStatusReply {
    let beacon = |value: Option<([u8; 32], ChainEpoch)>| value.map(|(v, _)| v.to_vec()).unwrap_or_default();
    let (data, pieces) = (sector.stored_data(), sector.stored_pieces());
    v1::SectorStatusReply {
        summary: Some(sector_summary(sector, waiting, now)),
        comm_d: bytes(sector.present_comm_d()),
        ticket: beacon(sector.ticket),
        ticket_epoch: sector.ticket.map_or(0, |(_, e)| e.0),
        seed: beacon(sector.seed),
        seed_epoch: sector.seed.map(|(_, e)| e).or(sector.seed_epoch).map_or(0, |e| e.0),
        proof: sector.proof.clone(),
        pieces: pieces.iter().map(|p| (*p).into()).collect(),
        log: if with_log { sector.log.iter().cloned().map(log_entry).collect() } else { vec![] },
        piece_name: data.map(SectorData::name).unwrap_or_default(),
        update: sector.update.as_ref().map(|update| sector_update(sector.comm_r, update)),
        failed: sector.trouble.counts.iter().map(|(s, n)| state_count(*s, *n)).collect(),
        stale_ms: 0,
        // Whoever asks adds it: a sector does not know its pin.
        pin: None,
        data_pieces: data.into_iter().flat_map(|data| data.placed(pieces)).map(sector_piece).collect(),
        unsealed: sector.unsealed_held().map(|held| unsealed_copy(sector, held)),
    }
}

fn unsealed_copy(sector: &Sector, held: Held<'_>) -> v1::UnsealedCopy {
    let ranges = if let Held::Ranges(ranges) = held { ranges } else { &[] };
    v1::UnsealedCopy {
        partial: held != Held::All,
        held: ranges.iter().cloned().map(byte_range).collect(),
        pieces: u32::try_from(sector.unsealed_pieces()).unwrap_or(u32::MAX),
    }
}

/// Some bytes of a file.
pub(crate) fn byte_range(Range { start, end }: Range<u64>) -> v1::ByteRange {
    v1::ByteRange { start, end }
}

/// A pin.
pub(crate) fn pin(pin: Pin) -> v1::Pin {
    let Pin { sector, reason, at } = pin;
    v1::Pin { sector, reason, since_unix_ms: at.0 }
}

/// A piece as its operator has it.
pub(crate) fn data_piece(piece: PieceData) -> v1::DataPiece {
    let PieceData { data_bytes, digest, name } = piece;
    v1::DataPiece { data_bytes, data_digest: digest.to_vec(), name }
}

/// A piece in its sector.
pub(crate) fn sector_piece(piece: PlacedPiece) -> v1::SectorPiece {
    let PlacedPiece { data, offset, sealed } = piece;
    v1::SectorPiece { data: Some(data_piece(data)), offset, sealed: sealed.map(Into::into) }
}

/// A state and how many, or how often.
pub(crate) fn state_count(state: SectorState, count: u32) -> v1::StateCount {
    v1::StateCount { state: state.to_string(), count }
}

fn sector_update(comm_r_old: Option<Commitment>, update: &Update) -> v1::SectorUpdate {
    let Update { data, pieces, comm_d, comm_r, proof: _, accepted, key_awaited: _ } = update;
    let data = data.as_ref();
    v1::SectorUpdate {
        piece_name: data.map(SectorData::name).unwrap_or_default(),
        data_bytes: data.map_or(0, SectorData::data_bytes),
        pieces: pieces.iter().map(|p| (*p).into()).collect(),
        comm_r_old: bytes(comm_r_old),
        comm_r_new: bytes(*comm_r),
        comm_d_new: bytes(*comm_d),
        accepted_unix_ms: accepted.map(|t| t.0),
    }
}

/// A line of a sector's log.
fn log_entry(entry: LogEntry) -> v1::LogEntry {
    let LogEntry { at, event, attempt, task, worker_name, took_ms, message } = entry;
    v1::LogEntry {
        unix_ms: at.0,
        event,
        attempt: attempt.map(Into::into),
        task: task.map_or(v1::TaskKind::Unspecified, Into::into) as i32,
        worker_name,
        took_ms,
        message,
    }
}

/// An attempt that is over.
pub(crate) fn finished(finished: Finished) -> v1::FinishedAttempt {
    let Finished { attempt, kind, sector, worker, worker_name, queued, started, ended, outcome, reason } = finished;
    v1::FinishedAttempt {
        attempt: Some(attempt.into()),
        task: v1::TaskKind::from(kind) as i32,
        sector: sector.unwrap_or_default(),
        worker_id: worker.to_string(),
        worker_name,
        queued_unix_ms: queued.0,
        started_unix_ms: started.0,
        took_ms: ended.since(started),
        result: outcome.as_str().to_owned(),
        reason,
    }
}

/// Replicas of a kind on a store.
pub(crate) fn replica_count(((store, kind), count): ((StoreId, FileKind), u64)) -> v1::ReplicaCount {
    v1::ReplicaCount { store: store.to_string(), kind: v1::FileKind::from(kind) as i32, count }
}
