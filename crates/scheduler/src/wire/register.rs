//! A worker's presentation and its renewals.

use sp_proto::convert::{WireError, resource_row_from_wire, store_id, task_kind};
use sp_proto::v1;
use sp_sched_core::event::{Event, Phase, Progress, Registration};
use sp_types::{HostCapacity, HostId, ResourceTable, SessionId, TaskKind, WorkerId, WorkerLimits};

use super::capacity::{check_capacity, check_limits, check_row};
use super::{invalid, task_result};

/// What a `Register` says besides the registration: checked by the shell before the core hears of the worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Admission {
    /// Cluster that the worker believes it joins.
    pub(crate) cluster: String,
    /// Protocol that it speaks.
    pub(crate) protocol_minor: u32,
    /// Seal proofs that it can handle, as upstream numbers them; numbers that this build does not know are no matter.
    pub(crate) seal_proofs: Vec<u64>,
}

/// A registration, and what decides whether it is let in.
pub(crate) fn registration(message: v1::Register) -> Result<(Registration, Admission), WireError> {
    let v1::Register {
        worker_id,
        session_id,
        host_id,
        name,
        cluster,
        build,
        protocol_minor,
        tasks,
        seal_proofs,
        capacity,
        resources,
        data_url,
        stores,
        builtin,
        held,
        finished,
        pid,
        limits,
        pc1_streams,
    } = message;
    let tasks: Vec<TaskKind> = tasks.into_iter().map(task_kind).collect::<Result<_, _>>()?;
    one_class(&tasks)?;
    let resources = resources.into_iter().map(resource_row_from_wire).collect::<Result<Vec<_>, _>>()?;
    resources.iter().try_for_each(|(_, _, row)| check_row(row))?;
    let registration = Registration {
        worker: worker(worker_id)?,
        session: session(session_id)?,
        host: HostId::new(host_id).map_err(|e| invalid("host_id", e))?,
        name,
        build,
        tasks,
        capacity: self::capacity(capacity.ok_or(WireError::Missing("capacity"))?)?,
        limits: self::limits(limits.unwrap_or_default())?,
        resources: ResourceTable::from_rows(resources),
        data_url,
        stores: stores.iter().map(|s| store_id(s)).collect::<Result<_, _>>()?,
        builtin,
        held: held.into_iter().map(Into::into).collect(),
        finished: finished.into_iter().map(task_result).collect::<Result<_, _>>()?,
        pid,
        pc1_streams: streams(pc1_streams)?,
    };
    Ok((registration, Admission { cluster, protocol_minor, seal_proofs }))
}

/// A worker serves one class: sealing, window PoSt or winning PoSt.
fn one_class(tasks: &[TaskKind]) -> Result<(), WireError> {
    let Some(first) = tasks.first() else {
        return Err(invalid("tasks", "a worker that accepts no task is of no use; turn a task on"));
    };
    let class = first.class();
    match tasks.iter().find(|t| t.class() != class) {
        None => Ok(()),
        Some(other) => Err(invalid(
            "tasks",
            format!(
                "{first} is {class} and {other} is {}; a worker is for sealing, window PoSt or winning PoSt, never two",
                other.class()
            ),
        )),
    }
}

/// Far more than any machine interleaves.
const STREAMS_MAX: u32 = 1_024;

fn streams(count: u32) -> Result<u32, WireError> {
    if count > STREAMS_MAX {
        return Err(invalid("pc1_streams", format!("{count} streams are more than {STREAMS_MAX}")));
    }
    Ok(count)
}

fn capacity(message: v1::HostCapacity) -> Result<HostCapacity, WireError> {
    let capacity = message.try_into()?;
    check_capacity(&capacity)?;
    Ok(capacity)
}

fn limits(message: v1::WorkerLimits) -> Result<WorkerLimits, WireError> {
    let limits = message.try_into()?;
    check_limits(&limits)?;
    Ok(limits)
}

/// A renewal that makes no sense.
#[derive(Debug)]
pub(crate) struct BadRenewal {
    /// Whose it is, if it says so.
    pub(crate) from: Option<(WorkerId, SessionId)>,
    /// What is wrong with it.
    pub(crate) error: WireError,
}

/// A lease renewal.
pub(crate) fn renewal(message: v1::RenewRequest) -> Result<(WorkerId, SessionId, Event), BadRenewal> {
    let v1::RenewRequest { worker_id, session_id, attempts, capacity, limits } = message;
    let ids = worker(worker_id).and_then(|worker| Ok((worker, session(session_id)?)));
    let (worker, session) = ids.map_err(|error| BadRenewal { from: None, error })?;
    let read = || -> Result<Event, WireError> {
        Ok(Event::Renewed {
            worker: worker.clone(),
            session: session.clone(),
            attempts: attempts.into_iter().map(progress).collect::<Result<_, _>>()?,
            capacity: capacity.map(self::capacity).transpose()?,
            limits: limits.map(self::limits).transpose()?,
        })
    };
    match read() {
        Ok(event) => Ok((worker, session, event)),
        Err(error) => Err(BadRenewal { from: Some((worker, session)), error }),
    }
}

fn progress(message: v1::AttemptProgress) -> Result<Progress, WireError> {
    let v1::AttemptProgress { attempt, phase, fraction, detail } = message;
    let phase = match v1::AttemptPhase::try_from(phase) {
        Ok(v1::AttemptPhase::Waiting) => Phase::Waiting,
        Ok(v1::AttemptPhase::Preparing) => Phase::Preparing,
        Ok(v1::AttemptPhase::Prepared) => Phase::Prepared,
        Ok(v1::AttemptPhase::Running) => Phase::Running,
        Ok(v1::AttemptPhase::Publishing) => Phase::Publishing,
        Ok(v1::AttemptPhase::Returning) => Phase::Returning,
        Ok(v1::AttemptPhase::Unspecified) | Err(_) => {
            return Err(invalid("phase", format!("unknown attempt phase {phase}")));
        }
    };
    let attempt = attempt.ok_or(WireError::Missing("attempts.attempt"))?.into();
    // Not a number would poison every comparison further in.
    let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
    Ok(Progress { attempt, phase, fraction, detail })
}

fn worker(text: String) -> Result<WorkerId, WireError> {
    WorkerId::new(text).map_err(|e| invalid("worker_id", e))
}

fn session(text: String) -> Result<SessionId, WireError> {
    SessionId::new(text).map_err(|e| invalid("session_id", e))
}
