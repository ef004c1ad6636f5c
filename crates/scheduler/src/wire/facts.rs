//! What the index says and what it is asked.

use sp_proto::convert::{ReplicaInfo, WireError, required, store_id};
use sp_proto::v1;
use sp_proto::v1::{index_fact, index_scheduler_message::Body};
use sp_sched_core::event::{Event, Failure, StoreFact};
use sp_sched_core::model::{FenceRow, OutputSlot};
use sp_types::{AttemptId, FileKindSet, FileLock, Filters, ReplicaId, Soundness, WorkerId};

use super::{failure, invalid};

/// The number and the outcome of an answered delete; none for any other fact.
pub(crate) fn answered_delete(fact: &v1::IndexFact) -> Option<(u64, Option<Failure>)> {
    let Some(index_fact::Body::DeleteDone(v1::DeleteDone { request, failed })) = &fact.body else { return None };
    Some((*request, failed.clone().map(failure)))
}

/// The event that a fact means; none for what the core need not know (an answered delete, another miner's replica).
pub(crate) fn fact_event(miner: u64, fact: v1::IndexFact) -> Result<Option<Event>, WireError> {
    let v1::IndexFact { body } = fact;
    Ok(Some(match required("body", body)? {
        index_fact::Body::SnapshotBegin(v1::SnapshotBegin { index_session: _ }) => Event::IndexSnapshotBegin,
        index_fact::Body::SnapshotEnd(v1::SnapshotEnd {}) => Event::IndexSnapshotEnd,
        index_fact::Body::Store(fact) => Event::Store(Box::new(store_fact(fact)?)),
        index_fact::Body::StoreGone(v1::StoreGone { store }) => Event::StoreGone(store_id(&store)?),
        index_fact::Body::Replica(replica) => {
            let ReplicaInfo { id, size_bytes, primary, origin, soundness } = replica.try_into()?;
            if id.sector.miner != miner {
                return Ok(None);
            }
            Event::Replica { id, size_bytes, primary, origin, soundness }
        }
        index_fact::Body::ReplicaGone(replica) => {
            let ReplicaInfo { id, .. } = replica.try_into()?;
            if id.sector.miner != miner {
                return Ok(None);
            }
            Event::ReplicaGone(id)
        }
        index_fact::Body::ReserveReply(v1::ReserveReply { attempt, failed }) => {
            Event::Reserved { attempt: required("attempt", attempt)?.into(), refused: failed.map(failure) }
        }
        // Known by its number only: the driver knows what it has asked for.
        index_fact::Body::DeleteDone(_) => return Ok(None),
    }))
}

/// A store as the index sees it.
fn store_fact(message: v1::StoreFact) -> Result<StoreFact, WireError> {
    let v1::StoreFact { store, available_bytes, reserved_bytes: _, holders, healthy, unhealthy_reason } = message;
    let v1::AttachedStore {
        store,
        weight,
        can_seal,
        can_store,
        max_storage_bytes: _,
        groups,
        allow_to,
        allow_types,
        deny_types,
        allow_miners,
        deny_miners,
        local_path: _,
        health: _,
    } = required("store", store)?;
    let holder = |v1::StoreHolder { worker_id, data_url }| {
        Ok((WorkerId::new(worker_id).map_err(|e| invalid("holders.worker_id", e))?, data_url))
    };
    Ok(StoreFact {
        id: store_id(&store)?,
        weight,
        can_seal,
        can_store,
        available_bytes,
        healthy,
        unhealthy_reason,
        holders: holders.into_iter().map(holder).collect::<Result<_, WireError>>()?,
        filters: Filters { allow_types, deny_types, allow_miners, deny_miners },
        groups,
        allow_to,
    })
}

/// Asks for space and locks, or presents what an attempt has.
pub(crate) fn reserve(
    miner: u64,
    attempt: AttemptId,
    sector: u64,
    outputs: Vec<OutputSlot>,
    lock: FileLock,
    presented: bool,
) -> v1::IndexSchedulerMessage {
    let item = |OutputSlot { kind, store, reserved_bytes }| v1::ReserveItem {
        store: store.to_string(),
        kind: v1::FileKind::from(kind) as i32,
        size_bytes: reserved_bytes,
        sector,
        miner,
    };
    let kinds = |kinds: FileKindSet| kinds.iter().map(|kind| v1::FileKind::from(kind) as i32).collect();
    message(Body::Reserve(v1::Reserve {
        attempt: Some(attempt.into()),
        items: outputs.into_iter().map(item).collect(),
        read: kinds(lock.read),
        write: kinds(lock.write),
        sector,
        miner,
        presented,
    }))
}

/// Every attempt that goes on has been presented.
pub(crate) fn presented() -> v1::IndexSchedulerMessage {
    message(Body::Presented(v1::Presented {}))
}

/// Says that attempts have ended.
pub(crate) fn fence(row: FenceRow) -> v1::IndexSchedulerMessage {
    let FenceRow { task, up_to_number } = row;
    message(Body::Fence(v1::Fence { task: task.0, up_to_number }))
}

/// Gives the space of an attempt back.
pub(crate) fn release(attempt: AttemptId) -> v1::IndexSchedulerMessage {
    message(Body::Release(v1::Release { attempt: Some(attempt.into()) }))
}

/// Has a replica deleted; `request` rises.
pub(crate) fn delete_replica(request: u64, replica: ReplicaId, reason: String) -> v1::IndexSchedulerMessage {
    let replica =
        ReplicaInfo { id: replica, size_bytes: 0, primary: false, origin: None, soundness: Soundness::Unknown };
    message(Body::Delete(v1::DeleteReplica { request, replica: Some(replica.into()), reason }))
}

fn message(body: Body) -> v1::IndexSchedulerMessage {
    v1::IndexSchedulerMessage { body: Some(body) }
}
