//! The workers of a measurement: who they are, what they have, one store each.

use sp_sched_core::event::{Registration, StoreFact};
use sp_types::{
    Filters, GpuDevice, GpuId, HostCapacity, HostId, ResourceTable, SectorSize, SessionId, StoreId, TaskKind, WorkerId,
    WorkerLimits,
};

/// Sectors of every measurement.
pub(crate) const SIZE: SectorSize = SectorSize::GiB32;

const GIB: u64 = 1 << 30;

/// What sealing workers accept.
pub(crate) const TASKS: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

/// How many of each kind one large worker runs at once. Limits, not resources, end it, so that exactly so many run and
/// everything else stays in the queue, whatever its size: 8 GPUs are taken by PC2 and C2.
pub(crate) const AT_ONCE: [(TaskKind, u32); 6] = [
    (TaskKind::AddPiece, 1),
    (TaskKind::PreCommit1, 16),
    (TaskKind::PreCommit2, 4),
    (TaskKind::Commit1, 8),
    (TaskKind::Commit2, 4),
    (TaskKind::Finalize, 4),
];

/// One worker on a host of its own, with one store.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Its place in the fleet.
    pub(crate) number: usize,
    /// What its host has.
    pub(crate) capacity: HostCapacity,
    /// Its resource table.
    pub(crate) resources: ResourceTable,
    /// What it accepts.
    pub(crate) tasks: Vec<TaskKind>,
}

/// The large worker of the promises: 128 cores and 8 GPUs.
pub(crate) fn large(number: usize) -> Site {
    let capacity = HostCapacity {
        memory_bytes: 2048 * GIB,
        cpus: 128,
        gpus: gpus(8),
        gpus_usable: true,
        ..HostCapacity::default()
    };
    let limited = AT_ONCE.map(|(kind, max_concurrent)| {
        let row = ResourceTable::default().row(kind, SIZE);
        (kind, SIZE, sp_types::ResourceRow { max_concurrent, ..row })
    });
    Site { number, capacity, resources: ResourceTable::from_rows(limited), tasks: TASKS.to_vec() }
}

/// So many devices that tasks can be given.
pub(crate) fn gpus(count: usize) -> Vec<GpuDevice> {
    let device = |n: usize| GpuDevice {
        id: GpuId::new(format!("GPU-{n}")).expect("an id"),
        name: "NVIDIA A100-SXM4-80GB".to_owned(),
        index: n as u32,
        memory_bytes: 80 * GIB,
        memory_used_bytes: 0,
        healthy: true,
    };
    (0..count).map(device).collect()
}

/// So many large workers.
pub(crate) fn large_fleet(workers: usize) -> Vec<Site> {
    (0..workers).map(large).collect()
}

/// As long as a real id: a UUID.
fn uuid(tag: u32, number: usize) -> String {
    // As different from the first character on as random ones are.
    let mixed = (u64::from(tag) << 32 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", mixed >> 32, mixed >> 16 & 0xffff)
}

impl Site {
    /// Its id.
    pub(crate) fn worker(&self) -> WorkerId {
        WorkerId::new(uuid(1, self.number)).expect("a UUID is an id")
    }

    /// Its only session.
    pub(crate) fn session(&self) -> SessionId {
        SessionId::new(uuid(2, self.number)).expect("a UUID is an id")
    }

    /// Its store.
    pub(crate) fn store(&self) -> StoreId {
        StoreId::new(uuid(3, self.number)).expect("a UUID is an id")
    }

    fn host(&self) -> HostId {
        HostId::new(format!("{}-{}", uuid(5, self.number).replace('-', ""), uuid(4, self.number)))
            .expect("of the shape of an id")
    }

    fn data_url(&self) -> String {
        format!("http://worker-{}.example:1790", self.number)
    }

    /// Its presentation; it holds nothing.
    pub(crate) fn registration(&self, capacity: HostCapacity) -> Registration {
        Registration {
            worker: self.worker(),
            session: self.session(),
            host: self.host(),
            name: format!("worker-{}", self.number),
            build: "bench".to_owned(),
            tasks: self.tasks.clone(),
            capacity,
            limits: WorkerLimits::default(),
            resources: self.resources.clone(),
            data_url: self.data_url(),
            stores: vec![self.store()],
            builtin: false,
            held: Vec::new(),
            finished: Vec::new(),
            pid: 1,
            pc1_streams: 0,
        }
    }

    /// Its store, as the index knows it: never full.
    pub(crate) fn store_fact(&self) -> StoreFact {
        StoreFact {
            id: self.store(),
            weight: 10,
            can_seal: true,
            can_store: true,
            available_bytes: 1 << 60,
            healthy: true,
            unhealthy_reason: String::new(),
            holders: vec![(self.worker(), self.data_url())],
            filters: Filters::default(),
            groups: vec![],
            allow_to: vec![],
        }
    }
}
