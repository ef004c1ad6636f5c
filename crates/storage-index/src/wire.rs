//! Between the wire and the words of the core. What makes no sense is refused, not guessed.

use sp_proto::convert::{WireError, file_kind, required, store_id};
use sp_proto::v1::{self, index_fact, index_scheduler_message, index_worker_command, index_worker_message};
use sp_types::{AttemptId, ErrorCode, FileKind, Filters, ReplicaInfo, SectorId, StoreId, TaskId, WorkerId};

use crate::core::{
    DeclareEnd, Fact, FromScheduler, FromWorker, Health, Place, Refusal, ReserveItem, Settings, StoreFact, ToWorker,
    Wish, WorkerHello,
};

use crate::wire_lock;

/// Most lines in one reservation: the kinds of a sector, a few times over.
const ITEMS_MAX: usize = 64;

pub(crate) fn invalid(field: &'static str, reason: impl ToString) -> WireError {
    WireError::Invalid { field, reason: reason.to_string() }
}

fn refusal(failure: v1::Failure) -> Refusal {
    let code = ErrorCode::from_text(&failure.code).unwrap_or(ErrorCode::Internal);
    Refusal::new(code, failure.message)
}

fn failure(Refusal { code, message }: Refusal) -> v1::Failure {
    v1::Failure { code: code.as_str().to_owned(), message }
}

fn replicas(messages: Vec<v1::Replica>) -> Result<Vec<ReplicaInfo>, WireError> {
    messages.into_iter().map(ReplicaInfo::try_from).collect()
}

fn replica(message: Option<v1::Replica>) -> Result<ReplicaInfo, WireError> {
    required("replica", message)?.try_into()
}

pub(crate) fn hello(message: v1::IndexHello) -> Result<WorkerHello, WireError> {
    let worker = WorkerId::new(message.worker_id).map_err(|e| invalid("worker_id", e))?;
    Ok(WorkerHello { worker, data_url: message.data_url })
}

pub(crate) fn settings(message: v1::AttachedStore) -> Result<Settings, WireError> {
    Ok(Settings {
        id: store_id(&message.store)?,
        weight: message.weight,
        can_seal: message.can_seal,
        can_store: message.can_store,
        max_storage_bytes: message.max_storage_bytes,
        groups: message.groups,
        allow_to: message.allow_to,
        filters: Filters {
            allow_types: message.allow_types,
            deny_types: message.deny_types,
            allow_miners: message.allow_miners,
            deny_miners: message.deny_miners,
        },
        local_path: message.local_path,
    })
}

pub(crate) fn settings_to_wire(settings: Settings) -> v1::AttachedStore {
    let Filters { allow_types, deny_types, allow_miners, deny_miners } = settings.filters;
    v1::AttachedStore {
        store: settings.id.to_string(),
        weight: settings.weight,
        can_seal: settings.can_seal,
        can_store: settings.can_store,
        max_storage_bytes: settings.max_storage_bytes,
        groups: settings.groups,
        allow_to: settings.allow_to,
        allow_types,
        deny_types,
        allow_miners,
        deny_miners,
        local_path: settings.local_path,
        health: None,
    }
}

fn health(message: v1::StoreHealth) -> Result<(StoreId, Health), WireError> {
    let v1::StoreHealth { store, capacity_bytes, fs_available_bytes, used_bytes, error, work } = message;
    let written = |v1::AttemptBytes { attempt, size_bytes }| Ok((required("attempt", attempt)?.into(), size_bytes));
    let work = work.into_iter().map(written).collect::<Result<_, WireError>>()?;
    Ok((store_id(&store)?, Health { capacity_bytes, fs_available_bytes, used_bytes, error, work }))
}

fn health_to_wire(store: &StoreId, health: Health) -> v1::StoreHealth {
    let Health { capacity_bytes, fs_available_bytes, used_bytes, error, work: _ } = health;
    let store = store.to_string();
    v1::StoreHealth { store, capacity_bytes, fs_available_bytes, used_bytes, error, work: Vec::new() }
}

pub(crate) fn item_to_wire(item: ReserveItem) -> v1::ReserveItem {
    let ReserveItem { store, sector, kind, size_bytes } = item;
    let kind = v1::FileKind::from(kind) as i32;
    v1::ReserveItem { store: store.to_string(), kind, size_bytes, sector: sector.number, miner: sector.miner }
}

fn item(message: v1::ReserveItem) -> Result<ReserveItem, WireError> {
    let v1::ReserveItem { store, kind, size_bytes, sector, miner } = message;
    let (store, kind): (StoreId, FileKind) = (store_id(&store)?, file_kind(kind)?);
    Ok(ReserveItem { store, sector: SectorId { miner, number: sector }, kind, size_bytes })
}

pub(crate) fn reserve(message: v1::Reserve) -> Result<Wish, WireError> {
    let v1::Reserve { attempt, items, read, write, sector: number, miner, presented: is_presented } = message;
    if items.len() > ITEMS_MAX {
        return Err(invalid("items", format!("{} lines, at most {ITEMS_MAX}", items.len())));
    }
    let attempt = required("attempt", attempt)?.into();
    let lock = wire_lock::wanted(attempt, SectorId { miner, number }, &read, &write)?;
    Ok(Wish { attempt, items: items.into_iter().map(item).collect::<Result<_, _>>()?, lock, is_presented })
}

pub(crate) fn from_worker(message: v1::IndexWorkerMessage) -> Result<FromWorker, WireError> {
    use index_worker_message::Body;
    Ok(match required("body", message.body)? {
        Body::Hello(_) => return Err(invalid("body", "a second hello")),
        Body::Attach(mut store) => {
            let (of, health) = health(required("health", store.health.take())?)?;
            let settings = settings(store)?;
            if of != settings.id {
                return Err(invalid("health", "it is of another store"));
            }
            FromWorker::Attach(settings, health)
        }
        Body::Declare(v1::Declare { request, replicas: list, attempt }) => {
            FromWorker::Declare { request, replicas: replicas(list)?, attempt: attempt.map(AttemptId::from) }
        }
        Body::DeclareEnd(v1::DeclareEnd { store, keep_missing, request, unread }) => {
            let unread =
                unread.into_iter().map(|at| Ok(Place::of(&at.try_into()?))).collect::<Result<_, WireError>>()?;
            FromWorker::DeclareEnd(DeclareEnd { store: store_id(&store)?, keep_missing, request, unread })
        }
        Body::Detach(v1::Detach { store, request }) => FromWorker::Detach { store: store_id(&store)?, request },
        Body::Undeclare(list) => FromWorker::Undeclare(replicas(list.replicas)?),
        Body::Health(message) => {
            let (store, health) = health(message)?;
            FromWorker::Health(store, health)
        }
        Body::DeleteDone(done) => FromWorker::DeleteDone { request: done.request, failed: done.failed.map(refusal) },
        Body::Leave(v1::Leave {}) => FromWorker::Leave,
    })
}

pub(crate) fn to_worker(message: ToWorker, session: &str, health_ms: u64) -> v1::IndexWorkerCommand {
    use index_worker_command::Body;
    let body = match message {
        ToWorker::Welcome => Body::Welcome(v1::IndexWelcome { index_session: session.to_owned(), health_ms }),
        ToWorker::DeclareAck { request, refused } => {
            Body::DeclareAck(v1::DeclareAck { request, failed: refused.map(failure) })
        }
        ToWorker::Delete { request, replica, reason } => {
            Body::Delete(v1::DeleteReplica { request, replica: Some(replica.into()), reason })
        }
        ToWorker::Fence { task, up_to } => Body::Fence(v1::Fence { task: task.0, up_to_number: up_to }),
        ToWorker::StoreAck { request, missing } => Body::StoreAck(v1::StoreAck { request, missing }),
    };
    v1::IndexWorkerCommand { body: Some(body) }
}

pub(crate) fn from_scheduler(message: v1::IndexSchedulerMessage) -> Result<FromScheduler, WireError> {
    use index_scheduler_message::Body;
    Ok(match required("body", message.body)? {
        Body::Hello(_) => return Err(invalid("body", "a second hello")),
        Body::Reserve(message) => FromScheduler::Reserve(reserve(message)?),
        Body::Presented(v1::Presented {}) => FromScheduler::Presented,
        Body::Release(message) => FromScheduler::Release(required("attempt", message.attempt)?.into()),
        Body::Fence(v1::Fence { task, up_to_number }) => {
            FromScheduler::Fence { task: TaskId(task), up_to: up_to_number }
        }
        Body::Delete(message) => {
            let v1::DeleteReplica { request, replica: which, reason } = message;
            FromScheduler::Delete { request, replica: replica(which)?, reason }
        }
    })
}

pub(crate) fn replica_count(((store, kind), count): ((StoreId, FileKind), u64)) -> v1::ReplicaCount {
    v1::ReplicaCount { store: store.to_string(), kind: v1::FileKind::from(kind) as i32, count }
}

pub(crate) fn holders_to_wire(holders: Vec<(WorkerId, String)>) -> Vec<v1::StoreHolder> {
    let holder = |(worker, data_url): (WorkerId, String)| v1::StoreHolder { worker_id: worker.to_string(), data_url };
    holders.into_iter().map(holder).collect()
}

pub(crate) fn store_fact(fact: StoreFact) -> v1::StoreFact {
    let StoreFact { settings, health, available_bytes, reserved_bytes, holders, unhealthy } = fact;
    let health = health_to_wire(&settings.id, health);
    v1::StoreFact {
        store: Some(v1::AttachedStore { health: Some(health), ..settings_to_wire(settings) }),
        available_bytes,
        reserved_bytes,
        holders: holders_to_wire(holders),
        healthy: unhealthy.is_none(),
        unhealthy_reason: unhealthy.unwrap_or_default(),
    }
}

pub(crate) fn fact(fact: Fact, session: &str) -> v1::IndexFact {
    use index_fact::Body;
    let body = match fact {
        Fact::SnapshotBegin => Body::SnapshotBegin(v1::SnapshotBegin { index_session: session.to_owned() }),
        Fact::Store(store) => Body::Store(store_fact(*store)),
        Fact::Replica(replica) => Body::Replica(replica.into()),
        Fact::ReplicaGone(replica) => Body::ReplicaGone(replica.into()),
        Fact::StoreGone(store) => Body::StoreGone(v1::StoreGone { store: store.to_string() }),
        Fact::SnapshotEnd => Body::SnapshotEnd(v1::SnapshotEnd {}),
        Fact::ReserveReply { attempt, refused } => {
            Body::ReserveReply(v1::ReserveReply { attempt: Some(attempt.into()), failed: refused.map(failure) })
        }
        Fact::DeleteDone { request, failed } => {
            Body::DeleteDone(v1::DeleteDone { request, failed: failed.map(failure) })
        }
    };
    v1::IndexFact { body: Some(body) }
}
