//! Storage: stores and replicas as the index has told them; paths that come, go, and are read again.

use std::collections::{BTreeMap, BTreeSet};

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::Core;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_types::{AttemptId, ErrorCode, StoreId};
use tonic::Status;

use super::{Api, REQUEST_LIMIT, STORE_LIMIT, unexpected, unknown_sector};
use crate::driver::{Seen, StoreAnswer, StoreOrder};
use crate::workers::gone;
use crate::{rows, wire};

/// Sectors named in a refusal.
const NAMED_MAX: usize = 10;

impl Api {
    pub(super) async fn on_list_storage(&self, request: v1::ListStorageRequest) -> Result<v1::ListStoresReply, Status> {
        let v1::ListStorageRequest {} = request;
        match self.status(|core, _| core.replica_counts()).await? {
            Seen::Now(counts) => {
                let counts = counts.into_iter().map(wire::replica_count).collect();
                Ok(v1::ListStoresReply { stores: self.index.stores.list(), counts })
            }
            // What it knows now is better than anything that could have been published.
            Seen::Before(..) => self.index.ask_stores().await.map_err(|reason| self.no_index(&reason)),
        }
    }

    pub(super) async fn on_find_storage(
        &self,
        request: v1::FindStorageRequest,
    ) -> Result<v1::FindStorageReply, Status> {
        let v1::FindStorageRequest { sector } = request;
        // A path may hold files of sectors that nobody here knows, for example one that came from Lotus.
        let look = move |core: &Core, _| (core.sector(sector).is_some(), core.replicas_of(sector));
        let (known, replicas) = match self.status(look).await? {
            Seen::Now((known, replicas)) => (known, replicas.into_iter().map(v1::Replica::from).collect()),
            Seen::Before(..) => {
                let asked = self.index.ask_sector(self.about.miner, sector).await;
                let v1::FindSectorReply { replicas } = asked.map_err(|reason| self.no_index(&reason))?;
                (self.read(move |state| rows::sector(state, sector)).await?.is_some(), replicas)
            }
        };
        if !known && replicas.is_empty() {
            return Err(unknown_sector(sector));
        }
        let found = |replica: v1::Replica| v1::FoundReplica {
            store: self.index.stores.get(&replica.store),
            replica: Some(replica),
        };
        Ok(v1::FindStorageReply { replicas: replicas.into_iter().map(found).collect() })
    }

    pub(super) async fn on_list_sector_locks(
        &self,
        request: v1::ListSectorLocksRequest,
    ) -> Result<v1::ListSectorLocksReply, Status> {
        let v1::ListSectorLocksRequest {} = request;
        let unavailable = |reason: String| {
            let message = format!("the index keeps the locks, and it does not answer: {reason}");
            to_status(ErrorCode::Unavailable, message)
        };
        let v1::ListLocksReply { locks } = self.index.ask_locks().await.map_err(unavailable)?;
        let holders: Vec<AttemptId> = locks.iter().filter_map(|lock| lock.attempt).map(AttemptId::from).collect();
        let look = move |core: &Core, _| holders.into_iter().map(|id| (id, core.doer(id))).collect::<BTreeMap<_, _>>();
        let doers = match self.status(look).await? {
            Seen::Now(doers) => doers,
            // Whose they are stays unsaid; that they are there does not.
            Seen::Before(..) => BTreeMap::new(),
        };
        let now = self.env.clock.unix_ms();
        let row = |lock: v1::LockInfo| {
            let doer = lock.attempt.and_then(|id| doers.get(&id.into())?.clone());
            let age_ms = now.saturating_sub(lock.since_unix_ms);
            let reply = v1::SectorLock { lock: Some(lock), age_ms, ..v1::SectorLock::default() };
            doer.map_or(reply.clone(), |(task, worker, worker_name)| v1::SectorLock {
                task: v1::TaskKind::from(task) as i32,
                worker_id: worker.to_string(),
                worker_name,
                ..reply
            })
        };
        Ok(v1::ListSectorLocksReply { locks: locks.into_iter().map(row).collect() })
    }

    pub(super) async fn on_list_replicas(
        &self,
        request: v1::ListReplicasRequest,
    ) -> Result<v1::ListReplicasReply, Status> {
        let unanswered = |reason| {
            let message = format!("the storage index does not answer: {reason}");
            to_status(ErrorCode::Unavailable, message)
        };
        self.index.ask_replicas(request).await.map_err(unanswered)
    }

    fn no_index(&self, reason: &str) -> Status {
        self.stuck(&format!("the index was asked instead: {reason}"))
    }

    pub(super) async fn on_move_storage(
        &self,
        request: v1::MoveStorageRequest,
    ) -> Result<v1::MoveStorageReply, Status> {
        let v1::MoveStorageRequest { sector, store } = request;
        let store = StoreId::new(store).map_err(|e| to_status(ErrorCode::BadRequest, format!("--to: {e}")))?;
        match self.ask(Request::MoveFiles { sector, store }, REQUEST_LIMIT).await? {
            Reply::Moving { files } => Ok(v1::MoveStorageReply { files }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_attach_storage(
        &self,
        request: v1::AttachStorageRequest,
    ) -> Result<v1::AttachStorageReply, Status> {
        let v1::AttachStorageRequest { worker, attach } = request;
        let attach = attach.ok_or_else(|| to_status(ErrorCode::BadRequest, "field `attach` is missing"))?;
        if attach.path.is_empty() {
            return Err(to_status(ErrorCode::BadRequest, "name the directory to attach"));
        }
        let change = self.order_one(worker, StoreOrder::Attach(attach)).await?;
        Ok(v1::AttachStorageReply { store: change.store })
    }

    pub(super) async fn on_detach_storage(
        &self,
        request: v1::DetachStorageRequest,
    ) -> Result<v1::DetachStorageReply, Status> {
        let v1::DetachStorageRequest { worker, store, really } = request;
        if store.is_empty() {
            return Err(to_status(ErrorCode::BadRequest, "name the path to detach: its ID or its directory"));
        }
        let fact = self.store_named(&worker, &store);
        let worker = if worker.is_empty() { only_holder(&store, fact.as_ref())? } else { worker };
        if let Some(fact) = fact.filter(|fact| !really && fact.holders.len() == 1) {
            self.refuse_only_copies(&fact).await?;
        }
        let order = StoreOrder::Detach(v1::DetachStore { request: 0, store });
        let change = self.order_one(worker, order).await?;
        Ok(v1::DetachStorageReply { change: Some(change) })
    }

    pub(super) async fn on_redeclare_storage(
        &self,
        request: v1::RedeclareStorageRequest,
    ) -> Result<v1::RedeclareStorageReply, Status> {
        let v1::RedeclareStorageRequest { worker, stores, drop_missing } = request;
        let mut found = Vec::new();
        for (worker, stores) in self.who_has(worker, stores).await? {
            let order = StoreOrder::Redeclare(v1::RedeclareStores { request: 0, stores, drop_missing });
            let changes = self.changes(worker.clone(), order).await?;
            let change = |change| v1::RedeclaredStore { worker: worker.clone(), change: Some(change) };
            found.extend(changes.into_iter().map(change));
        }
        Ok(v1::RedeclareStorageReply { stores: found })
    }

    /// Each worker with the stores that it is asked about; none named are all of its.
    pub(super) async fn who_has(
        &self,
        worker: String,
        stores: Vec<String>,
    ) -> Result<Vec<(String, Vec<String>)>, Status> {
        if !worker.is_empty() {
            return Ok(vec![(worker, stores)]);
        }
        if stores.is_empty() {
            let holders = self.index.stores.list().into_iter().flat_map(|fact| fact.holders);
            let workers: BTreeSet<String> = holders.map(|holder| holder.worker_id).collect();
            return Ok(workers.into_iter().map(|worker| (worker, vec![])).collect());
        }
        let of = |store: String| Ok((only_holder(&store, self.index.stores.get(&store).as_ref())?, vec![store]));
        stores.into_iter().map(of).collect()
    }

    /// A store by its ID, or by its directory on this worker.
    fn store_named(&self, worker: &str, wanted: &str) -> Option<v1::StoreFact> {
        let held = |fact: &v1::StoreFact| fact.holders.iter().any(|holder| holder.worker_id == worker);
        let there = |fact: &v1::StoreFact| fact.store.as_ref().is_some_and(|store| store.local_path == wanted);
        let by_path = || self.index.stores.list().into_iter().find(|fact| there(fact) && held(fact));
        self.index.stores.get(wanted).or_else(by_path)
    }

    /// A sector whose only copy leaves can be neither proven nor sealed on.
    async fn refuse_only_copies(&self, fact: &v1::StoreFact) -> Result<(), Status> {
        let id = fact.store.as_ref().map(|store| store.store.clone()).unwrap_or_default();
        let id = StoreId::new(id).map_err(|error| to_status(ErrorCode::Internal, error.to_string()))?;
        let sectors = self.driver.query(move |core, _| core.sectors_only_on(&id)).await.map_err(gone)?;
        if sectors.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = sectors.iter().take(NAMED_MAX).map(u64::to_string).collect();
        let more = if sectors.len() > NAMED_MAX { ", .." } else { "" };
        let message = format!(
            "{} sectors have files on this path only ({}{more}): until it is attached again they can be neither proven \
             nor sealed on; move them first, or say --really-do-it",
            sectors.len(),
            named.join(", ")
        );
        Err(to_status(ErrorCode::WrongState, message))
    }

    async fn order_one(&self, worker: String, order: StoreOrder) -> Result<v1::StoreChange, Status> {
        let changes = self.changes(worker, order).await?;
        changes.into_iter().next().ok_or_else(|| to_status(ErrorCode::Internal, "the worker's answer is empty"))
    }

    async fn changes(&self, worker: String, order: StoreOrder) -> Result<Vec<v1::StoreChange>, Status> {
        match self.order(worker, order).await? {
            StoreAnswer::Changes(changes) => Ok(changes),
            StoreAnswer::Scrubs(_) => Err(to_status(ErrorCode::Internal, "the worker answered beside the order")),
        }
    }

    /// Has a worker do something with its stores.
    pub(super) async fn order(&self, worker: String, order: StoreOrder) -> Result<StoreAnswer, Status> {
        let answered = self.driver.order(worker, order, STORE_LIMIT).await.map_err(gone)?;
        answered.map_err(|failure| to_status(failure.code, failure.message))
    }
}

/// The one worker that has a store, where none was named.
fn only_holder(store: &str, fact: Option<&v1::StoreFact>) -> Result<String, Status> {
    let unknown = || {
        let message =
            format!("no path with the ID `{store}` is known; see `sp-ctl storage list`, or name its --worker");
        to_status(ErrorCode::NotFound, message)
    };
    match fact.ok_or_else(unknown)?.holders.as_slice() {
        [holder] => Ok(holder.worker_id.clone()),
        [] => Err(to_status(ErrorCode::Unavailable, format!("no connected worker has path {store}; start its worker"))),
        many => {
            let message = format!("{} workers have path {store}; say which with --worker", many.len());
            Err(to_status(ErrorCode::BadRequest, message))
        }
    }
}
