//! Conversions between wire messages and `sp-types`. An unknown enum value is refused as unknown, never read as zero.

use sp_types::{
    AttemptId, Commitment, FileKind, GpuDevice, GpuId, GpuShare, HostCapacity, HttpHeader, Origin, PieceInfo,
    RegisteredSealProof, ReplicaId, ResourceRow, Secret, SectorId, SectorSize, Soundness, StoreId, TaskId, TaskKind,
    WorkerLimits,
};

use crate::v1;

/// A message that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field holds something that this build does not know or allow.
    #[error("field `{field}`: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl WireError {
    fn invalid(field: &'static str, reason: impl ToString) -> Self {
        Self::Invalid { field, reason: reason.to_string() }
    }
}

/// A 32-byte field.
pub fn bytes32(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes.try_into().map_err(|_| WireError::invalid(field, format!("{} bytes where 32 are expected", bytes.len())))
}

/// A field that must be set.
pub fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing(field))
}

/// A registered seal proof by upstream's number.
pub fn seal_proof(id: u64) -> Result<RegisteredSealProof, WireError> {
    RegisteredSealProof::from_id(id).map_err(|e| WireError::invalid("seal_proof", e))
}

// === kinds ===

impl From<FileKind> for v1::FileKind {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Unsealed => Self::Unsealed,
            FileKind::Sealed => Self::Sealed,
            FileKind::Cache => Self::Cache,
            FileKind::Update => Self::Update,
            FileKind::UpdateCache => Self::UpdateCache,
            FileKind::Piece => Self::Piece,
            FileKind::Vanilla => Self::Vanilla,
        }
    }
}

/// A file kind from its wire number.
pub fn file_kind(number: i32) -> Result<FileKind, WireError> {
    FileKind::ALL
        .into_iter()
        .find(|k| v1::FileKind::from(*k) as i32 == number)
        .ok_or_else(|| WireError::invalid("kind", format!("unknown file kind {number}")))
}

impl From<TaskKind> for v1::TaskKind {
    fn from(kind: TaskKind) -> Self {
        match kind {
            TaskKind::DataCid => Self::DataCid,
            TaskKind::AddPiece => Self::AddPiece,
            TaskKind::PreCommit1 => Self::PreCommit1,
            TaskKind::PreCommit2 => Self::PreCommit2,
            TaskKind::Commit1 => Self::Commit1,
            TaskKind::Commit2 => Self::Commit2,
            TaskKind::Finalize => Self::Finalize,
            TaskKind::FinalizeUnsealed => Self::FinalizeUnsealed,
            TaskKind::Fetch => Self::Fetch,
            TaskKind::Unseal => Self::Unseal,
            TaskKind::ReplicaUpdate => Self::ReplicaUpdate,
            TaskKind::ProveReplicaUpdate1 => Self::ProveReplicaUpdate1,
            TaskKind::ProveReplicaUpdate2 => Self::ProveReplicaUpdate2,
            TaskKind::RegenSectorKey => Self::RegenSectorKey,
            TaskKind::FinalizeReplicaUpdate => Self::FinalizeReplicaUpdate,
            TaskKind::DownloadSector => Self::DownloadSector,
            TaskKind::GenerateWindowPost => Self::WindowPost,
            TaskKind::GenerateWinningPost => Self::WinningPost,
        }
    }
}

/// A task kind from its wire number.
pub fn task_kind(number: i32) -> Result<TaskKind, WireError> {
    TaskKind::ALL
        .into_iter()
        .find(|k| v1::TaskKind::from(*k) as i32 == number)
        .ok_or_else(|| WireError::invalid("task", format!("unknown task kind {number}")))
}

// === ids ===

impl From<AttemptId> for v1::AttemptId {
    fn from(AttemptId { task, number }: AttemptId) -> Self {
        Self { task: task.0, number }
    }
}

impl From<v1::AttemptId> for AttemptId {
    fn from(v1::AttemptId { task, number }: v1::AttemptId) -> Self {
        Self { task: TaskId(task), number }
    }
}

/// A store id.
pub fn store_id(text: &str) -> Result<StoreId, WireError> {
    StoreId::new(text).map_err(|e| WireError::invalid("store", e))
}

// === headers ===

impl From<HttpHeader> for v1::HttpHeader {
    fn from(HttpHeader { name, value }: HttpHeader) -> Self {
        Self { name, value: value.reveal().to_owned() }
    }
}

impl From<v1::HttpHeader> for HttpHeader {
    fn from(v1::HttpHeader { name, value }: v1::HttpHeader) -> Self {
        Self { name, value: Secret::new(value) }
    }
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for v1::HttpHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

// === pieces and replicas ===

impl From<PieceInfo> for v1::Piece {
    fn from(PieceInfo { padded_bytes, commitment }: PieceInfo) -> Self {
        Self { padded_bytes, commitment: commitment.0.to_vec() }
    }
}

impl TryFrom<v1::Piece> for PieceInfo {
    type Error = WireError;
    fn try_from(v1::Piece { padded_bytes, commitment }: v1::Piece) -> Result<Self, WireError> {
        if padded_bytes < 128 || !padded_bytes.is_power_of_two() {
            return Err(WireError::invalid("padded_bytes", format!("{padded_bytes} is not a padded piece size")));
        }
        Ok(Self { padded_bytes, commitment: Commitment(bytes32("commitment", &commitment)?) })
    }
}

pub use sp_types::ReplicaInfo;

impl From<Soundness> for v1::Soundness {
    fn from(soundness: Soundness) -> Self {
        match soundness {
            Soundness::Unknown => Self::Unspecified,
            Soundness::Sound => Self::Sound,
            Soundness::Faulty => Self::Faulty,
        }
    }
}

impl From<v1::Soundness> for Soundness {
    fn from(soundness: v1::Soundness) -> Self {
        match soundness {
            v1::Soundness::Unspecified => Self::Unknown,
            v1::Soundness::Sound => Self::Sound,
            v1::Soundness::Faulty => Self::Faulty,
        }
    }
}

impl From<ReplicaInfo> for v1::Replica {
    fn from(ReplicaInfo { id, size_bytes, primary, origin, soundness }: ReplicaInfo) -> Self {
        let ReplicaId { sector: SectorId { miner, number }, kind, store, root } = id;
        Self {
            miner,
            sector: number,
            kind: v1::FileKind::from(kind) as i32,
            store: store.to_string(),
            root: if root == [0; 32] { vec![] } else { root.to_vec() },
            size_bytes,
            primary,
            origin: origin.map_or(0, Origin::get),
            soundness: v1::Soundness::from(soundness) as i32,
        }
    }
}

impl TryFrom<v1::Replica> for ReplicaInfo {
    type Error = WireError;
    fn try_from(message: v1::Replica) -> Result<Self, WireError> {
        let v1::Replica { miner, sector, kind, store, root, size_bytes, primary, origin, soundness } = message;
        let root = if root.is_empty() { [0; 32] } else { bytes32("root", &root)? };
        let sector = SectorId { miner, number: sector };
        let id = ReplicaId { sector, kind: file_kind(kind)?, store: store_id(&store)?, root };
        // One that a newer build knows says nothing here.
        let soundness = v1::Soundness::try_from(soundness).unwrap_or_default().into();
        Ok(Self { id, size_bytes, primary, origin: Origin::new(origin), soundness })
    }
}

// === hosts ===

impl From<HostCapacity> for v1::HostCapacity {
    fn from(capacity: HostCapacity) -> Self {
        let HostCapacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus, gpus_usable } =
            capacity;
        let devices = gpus.into_iter().map(Into::into).collect();
        Self { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, devices, gpus_usable }
    }
}

impl TryFrom<v1::HostCapacity> for HostCapacity {
    type Error = WireError;
    fn try_from(message: v1::HostCapacity) -> Result<Self, WireError> {
        let v1::HostCapacity {
            memory_bytes,
            memory_used_bytes,
            swap_bytes,
            swap_used_bytes,
            cpus,
            devices,
            gpus_usable,
        } = message;
        let gpus = devices.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus, gpus_usable })
    }
}

impl From<GpuDevice> for v1::GpuDevice {
    fn from(gpu: GpuDevice) -> Self {
        let GpuDevice { id, name, index, memory_bytes, memory_used_bytes, healthy } = gpu;
        Self { id: id.to_string(), name, index, memory_bytes, memory_used_bytes, healthy }
    }
}

impl TryFrom<v1::GpuDevice> for GpuDevice {
    type Error = WireError;
    fn try_from(message: v1::GpuDevice) -> Result<Self, WireError> {
        let v1::GpuDevice { id, name, index, memory_bytes, memory_used_bytes, healthy } = message;
        let id = GpuId::new(id).map_err(|e| WireError::invalid("capacity.devices.id", e))?;
        Ok(Self { id, name, index, memory_bytes, memory_used_bytes, healthy })
    }
}

impl From<GpuShare> for v1::GpuShare {
    fn from(given: GpuShare) -> Self {
        let GpuShare { id, index, share } = given;
        Self { id: id.to_string(), index, share }
    }
}

impl TryFrom<v1::GpuShare> for GpuShare {
    type Error = WireError;
    fn try_from(message: v1::GpuShare) -> Result<Self, WireError> {
        let v1::GpuShare { id, index, share } = message;
        let id = GpuId::new(id).map_err(|e| WireError::invalid("gpus.id", e))?;
        // Not a number fails here too.
        if !(share > 0.0 && share <= 1.0) {
            return Err(WireError::invalid("gpus.share", format!("{share} is no part of a device")));
        }
        Ok(Self { id, index, share })
    }
}

impl From<WorkerLimits> for v1::WorkerLimits {
    fn from(limits: WorkerLimits) -> Self {
        let WorkerLimits { cpus, memory_bytes, gpus } = limits;
        Self {
            cpus: cpus.unwrap_or(0),
            memory_bytes: memory_bytes.unwrap_or(0),
            no_gpus: gpus.as_ref().is_some_and(Vec::is_empty),
            gpus: gpus.unwrap_or_default().iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1::WorkerLimits> for WorkerLimits {
    type Error = WireError;
    fn try_from(message: v1::WorkerLimits) -> Result<Self, WireError> {
        let v1::WorkerLimits { cpus, memory_bytes, gpus, no_gpus } = message;
        if no_gpus && !gpus.is_empty() {
            return Err(WireError::invalid("limits.no_gpus", "it names GPUs besides"));
        }
        let ids = gpus.into_iter().map(GpuId::new).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(|e| WireError::invalid("limits.gpus", e))?;
        Ok(Self {
            cpus: (cpus > 0).then_some(cpus),
            memory_bytes: (memory_bytes > 0).then_some(memory_bytes),
            gpus: (no_gpus || !ids.is_empty()).then_some(ids),
        })
    }
}

/// One row of a worker's resource table, for the wire.
pub fn resource_row_to_wire(task: TaskKind, size: SectorSize, row: ResourceRow) -> v1::ResourceRow {
    let ResourceRow {
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization,
        max_parallelism,
        max_parallelism_gpu,
        base_min_memory_bytes,
        max_concurrent,
    } = row;
    v1::ResourceRow {
        task: v1::TaskKind::from(task) as i32,
        sector_size: size.bytes(),
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization,
        max_parallelism,
        max_parallelism_gpu,
        base_min_memory_bytes,
        max_concurrent,
    }
}

/// One row of a worker's resource table, from the wire.
pub fn resource_row_from_wire(message: v1::ResourceRow) -> Result<(TaskKind, SectorSize, ResourceRow), WireError> {
    let v1::ResourceRow {
        task,
        sector_size,
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization,
        max_parallelism,
        max_parallelism_gpu,
        base_min_memory_bytes,
        max_concurrent,
    } = message;
    let size = SectorSize::from_bytes(sector_size)
        .ok_or_else(|| WireError::invalid("sector_size", format!("{sector_size} is no published sector size")))?;
    let row = ResourceRow {
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization,
        max_parallelism,
        max_parallelism_gpu,
        base_min_memory_bytes,
        max_concurrent,
    };
    Ok((task_kind(task)?, size, row))
}
