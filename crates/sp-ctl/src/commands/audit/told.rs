//! What the scheduler and the storage index say: sectors, living attempts, storage paths and what is listed on each.

use std::collections::{BTreeMap, BTreeSet};

use sp_proto::v1::{
    InfoRequest, Job, ListJobsRequest, ListReplicasRequest, ListSectorLocksRequest, ListSectorsRequest,
    ListStorageRequest, SectorLock, SectorSummary, StoreFact,
};
use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId, TaskId};

use crate::context::{Context, Scheduler, request};
use crate::error::CommandError;

/// What lies on one path, as the index lists it.
pub(super) type Listed = BTreeMap<(SectorId, FileKind), ReplicaInfo>;

/// What was told at about the same time.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Whose sectors those are.
    pub(super) miner: u64,
    /// Attempts that are not over.
    pub(super) alive: BTreeSet<AttemptId>,
    /// Every sector that the scheduler knows.
    pub(super) sectors: Vec<SectorSummary>,
    /// Every storage path by its ID.
    pub(super) stores: BTreeMap<String, StoreFact>,
    /// What is listed on each of them.
    pub(super) listed: BTreeMap<String, Listed>,
    /// Whose locks the index keeps, and of which sector.
    pub(super) locks: BTreeSet<(AttemptId, SectorId)>,
}

impl Told {
    /// Where it lies by what was recorded; empty where nothing was.
    pub(super) fn local_path(&self, store: &str) -> &str {
        let attached = self.stores.get(store).and_then(|fact| fact.store.as_ref());
        attached.map_or("", |attached| attached.local_path.as_str())
    }
}

/// Asks the scheduler, which passes on to the index what is the index's.
pub(super) async fn ask(context: &Context) -> Result<Told, CommandError> {
    let mut scheduler = context.scheduler().await?;
    let miner = scheduler.info(request(InfoRequest {})).await?.into_inner().miner;
    let jobs = scheduler.list_jobs(request(ListJobsRequest {})).await?.into_inner();
    let sectors = scheduler.list_sectors(request(ListSectorsRequest {})).await?.into_inner();
    context.note_stale(jobs.stale_ms.max(sectors.stale_ms));
    let stores = scheduler.list_storage(request(ListStorageRequest {})).await?.into_inner().stores;
    let by_id = |fact: StoreFact| Some((fact.store.as_ref()?.store.clone(), fact));
    let stores: BTreeMap<String, StoreFact> = stores.into_iter().filter_map(by_id).collect();
    let mut listed = BTreeMap::new();
    for store in stores.keys() {
        listed.insert(store.clone(), listed_on(&mut scheduler, store).await?);
    }
    let attempt = |job: &Job| AttemptId { task: TaskId(job.task_id), number: job.attempt };
    let alive = jobs.jobs.iter().filter(|job| job.attempt > 0).map(attempt).collect();
    let locks = scheduler.list_sector_locks(request(ListSectorLocksRequest {})).await?.into_inner().locks;
    let locked = |lock: SectorLock| {
        let lock = lock.lock?;
        Some((lock.attempt?.into(), SectorId { miner: lock.miner, number: lock.sector }))
    };
    let locks = locks.into_iter().filter_map(locked).collect();
    Ok(Told { miner, alive, sectors: sectors.sectors, stores, listed, locks })
}

async fn listed_on(scheduler: &mut Scheduler, store: &str) -> Result<Listed, CommandError> {
    let mut listed = Listed::new();
    let mut ask = ListReplicasRequest { store: store.to_owned(), ..Default::default() };
    loop {
        let page = scheduler.list_replicas(request(ask.clone())).await?.into_inner();
        if let Some(last) = page.replicas.last() {
            (ask.after_miner, ask.after_sector) = (last.miner, Some(last.sector));
        }
        let more = page.more && !page.replicas.is_empty();
        for replica in page.replicas {
            let info = ReplicaInfo::try_from(replica).map_err(|error| CommandError::failed(error.to_string()))?;
            listed.insert((info.id.sector, info.id.kind), info);
        }
        if !more {
            return Ok(listed);
        }
    }
}
