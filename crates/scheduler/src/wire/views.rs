//! Views of the core for operators.

use sp_proto::convert::ReplicaInfo;
use sp_proto::v1;
use sp_sched_core::model::{LogEntry, PieceData, Sector, UnixMs};
use sp_sched_core::view::{JobView, WorkerView};
use sp_types::{RegisteredSealProof, ReplicaId, TaskKind};

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
    }
}

fn task_count((task, seal_proof, count, limit): (TaskKind, RegisteredSealProof, u32, u32)) -> v1::TaskCount {
    v1::TaskCount { task: v1::TaskKind::from(task) as i32, seal_proof: seal_proof.id(), count, limit }
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
        reasons,
        failures,
        last_error,
    } = view;
    v1::Job {
        task_id: task_id.0,
        attempt: attempt.map_or(0, |a| a.number),
        task: v1::TaskKind::from(task) as i32,
        sector,
        worker_id: worker.map(|w| w.to_string()).unwrap_or_default(),
        host_name,
        state: state.to_owned(),
        age_ms,
        fraction,
        detail,
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
        data_bytes: sector.data.as_ref().map_or(0, |d| d.data_bytes),
        comm_r: sector.comm_r.map(|c| c.0.to_vec()).unwrap_or_default(),
        deadline: sector.location.map(|(deadline, _)| deadline.0),
        partition: sector.location.map(|(_, partition)| partition.0),
        failures: sector.failures,
        last_error: sector.last_error.clone(),
        seal_ms: until.0.saturating_sub(sector.created.0),
        waiting,
    }
}

/// Everything about a sector.
pub(crate) fn sector_status(sector: &Sector, waiting: String, now: UnixMs, with_log: bool) -> v1::SectorStatusReply {
    let bytes = |value: Option<[u8; 32]>| value.map(|v| v.to_vec()).unwrap_or_default();
    let piece_name = match &sector.data {
        Some(PieceData { name, .. }) => name.clone(),
        None => String::new(),
    };
    v1::SectorStatusReply {
        summary: Some(sector_summary(sector, waiting, now)),
        comm_d: bytes(sector.comm_d.map(|c| c.0)),
        ticket: bytes(sector.ticket.map(|(t, _)| t)),
        ticket_epoch: sector.ticket.map_or(0, |(_, e)| e.0),
        seed: bytes(sector.seed.map(|(s, _)| s)),
        seed_epoch: sector.seed.map(|(_, e)| e).or(sector.seed_epoch).map_or(0, |e| e.0),
        proof: sector.proof.clone(),
        pieces: sector.pieces.iter().map(|p| (*p).into()).collect(),
        log: if with_log { sector.log.iter().cloned().map(log_entry).collect() } else { vec![] },
        piece_name,
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

/// A replica as the core knows it.
pub(crate) fn replica(id: ReplicaId, size_bytes: u64, primary: bool) -> v1::Replica {
    ReplicaInfo { id, size_bytes, primary }.into()
}
