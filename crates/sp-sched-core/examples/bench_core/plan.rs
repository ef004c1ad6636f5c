//! The sectors of a measurement: in which state, on whose store; and the rows and facts that say so.

use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Effect;
use sp_sched_core::event::{Event, Request, RequestId};
use sp_sched_core::model::{Counters, RowChange, Rows, Sector, SectorFile, Task, UnixMs};
use sp_sched_core::{Config, Core};
use sp_types::{
    ChainEpoch, Commitment, DeadlineIndex, FileKind, PartitionIndex, PieceInfo, ReplicaId, SectorId, SectorState,
    StoreId, TaskId, TaskKind,
};

use crate::dice::Dice;
use crate::fleet::{AT_ONCE, SIZE};

/// When everything begins.
pub(crate) const START: UnixMs = UnixMs(1_700_000_000_000);

/// Actor id of the miner.
pub(crate) const MINER: u64 = 1000;

/// One sector: the task that it waits for, and the worker whose store has its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    /// What it waits for.
    pub(crate) task: TaskKind,
    /// It waits for nothing: it has the same files, and is Proving.
    pub(crate) idle: bool,
    /// Number of the worker in the fleet.
    pub(crate) holder: usize,
}

impl Planned {
    /// A sector that waits for this task.
    pub(crate) fn waiting(task: TaskKind, holder: usize) -> Self {
        Self { task, idle: false, holder }
    }
}

/// The scheduler's settings. The laws are the tests' matter: checking them looks at everything after every step. PC1
/// does not wait for PC2 here, or most of a mixed queue would stand behind that one gate.
pub(crate) fn config() -> Config {
    Config { check_laws: false, pc2_backlog: usize::MAX, ..Config::new(MINER, SIZE, [7; 32]) }
}

/// As much as fills every worker, each with its own sectors.
pub(crate) fn filling(workers: usize) -> Vec<Planned> {
    let one = |holder| AT_ONCE.into_iter().flat_map(move |(kind, n)| (0..n).map(move |_| (kind, holder)));
    (0..workers).flat_map(one).map(|(kind, holder)| Planned::waiting(kind, holder)).collect()
}

/// So many sectors more, of five kinds mixed, anywhere.
pub(crate) fn mixed(count: usize, workers: usize, dice: &mut Dice) -> Vec<Planned> {
    let kinds = [TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1, TaskKind::Commit2, TaskKind::Finalize];
    let one = |at: usize, dice: &mut Dice| Planned::waiting(kinds[at % kinds.len()], dice.below(workers));
    (0..count).map(|at| one(at, dice)).collect()
}

/// The state in which a sector waits for this task.
fn state_of(task: TaskKind) -> SectorState {
    match task {
        TaskKind::AddPiece => SectorState::Packing,
        TaskKind::PreCommit1 => SectorState::PreCommit1,
        TaskKind::PreCommit2 => SectorState::PreCommit2,
        TaskKind::Commit1 => SectorState::Committing1,
        TaskKind::Commit2 => SectorState::Committing2,
        TaskKind::Finalize => SectorState::FinalizeSector,
        other => panic!("{other} is no phase of a sector"),
    }
}

/// The files that a sector has in that state.
fn files_of(task: TaskKind) -> &'static [FileKind] {
    match task {
        TaskKind::AddPiece => &[],
        TaskKind::PreCommit1 => &[FileKind::Unsealed],
        TaskKind::Commit2 => &[FileKind::Unsealed, FileKind::Sealed, FileKind::Cache, FileKind::Vanilla],
        _ => &[FileKind::Unsealed, FileKind::Sealed, FileKind::Cache],
    }
}

/// A root that no other file has.
pub(crate) fn root_of(sector: u64, kind: FileKind, generation: u32) -> [u8; 32] {
    let mut root = [1; 32];
    root[..8].copy_from_slice(&sector.to_le_bytes());
    root[8..12].copy_from_slice(&kind.bit().to_le_bytes());
    root[12..16].copy_from_slice(&generation.to_le_bytes());
    root
}

/// The commitment of this kind (1: data, 2: replica) that this sector has, and gets again when a task is done anew.
pub(crate) fn commitment(tag: u8, number: u64) -> Commitment {
    let mut bytes = [tag; 32];
    bytes[24..].copy_from_slice(&number.to_le_bytes());
    Commitment(bytes)
}

fn size_of(kind: FileKind) -> u64 {
    if kind == FileKind::Vanilla { 64 << 20 } else { kind.sealing_bytes(SIZE.bytes()) }
}

/// A sector and its task as the core itself makes them, to be filled in: rows that gain fields need no change here.
fn templates(config: &Config) -> (Sector, Task) {
    let (mut core, _) = Core::restore(config.clone(), Rows::default(), START);
    let effects = core.step(START, Event::Request(RequestId(1), Request::Pledge { count: 1, priority: None }));
    let (mut sector, mut task) = (None, None);
    for effect in effects {
        match effect {
            Effect::Persist(RowChange::PutSector(row)) => sector = Some(*row),
            Effect::Persist(RowChange::PutTask(row)) => task = Some(*row),
            _ => {}
        }
    }
    (sector.expect("a pledge makes a sector"), task.expect("a pledge makes a task"))
}

/// Everything durable of these sectors.
pub(crate) fn rows(config: &Config, plan: &[Planned]) -> Rows {
    let (sector, task) = templates(config);
    let numbered = || plan.iter().zip(0u64..);
    let sectors = numbered().map(|(planned, number)| sector_row(&sector, number, planned)).collect();
    let tasks = numbered()
        .filter(|(planned, _)| !planned.idle)
        .map(|(planned, number)| task_row(&task, number, planned.task))
        .collect();
    let next = plan.len() as u64;
    Rows { sectors, tasks, counters: Counters { next_task: next + 1, next_sector: next }, ..Rows::default() }
}

/// Every fifth sector has data, which goes first.
fn has_data(number: u64) -> bool {
    number % 5 == 4
}

fn sector_row(template: &Sector, number: u64, planned: &Planned) -> Sector {
    let (task, mut sector) = (planned.task, template.clone());
    let comm = |tag: u8| commitment(tag, number);
    let epoch = ChainEpoch(1_000);
    let file = |kind: &FileKind| SectorFile {
        kind: *kind,
        root: root_of(number, *kind, 0),
        size_bytes: size_of(*kind),
        held: None,
    };
    sector.number = number;
    sector.state = if planned.idle { SectorState::Proving } else { state_of(task) };
    sector.files = files_of(task).iter().map(file).collect();
    if has_data(number) {
        let name = format!("piece-{number}.car");
        sector.data = Some(data([5; 32], name));
    }
    if task == TaskKind::AddPiece {
        return sector;
    }
    sector.pieces = vec![PieceInfo { padded_bytes: SIZE.bytes(), commitment: comm(1) }];
    (sector.comm_d, sector.ticket) = (Some(comm(1)), Some(([3; 32], epoch)));
    if task == TaskKind::PreCommit1 {
        return sector;
    }
    sector.phase1 = vec![9; 256];
    if task == TaskKind::PreCommit2 {
        return sector;
    }
    (sector.comm_r, sector.seed_epoch, sector.seed) = (Some(comm(2)), Some(epoch), Some(([4; 32], epoch)));
    if task == TaskKind::Finalize {
        sector.proof = vec![8; 1920];
        let deadline = DeadlineIndex((number % u64::from(DeadlineIndex::COUNT)) as u32);
        let partition = number / u64::from(DeadlineIndex::COUNT) / SIZE.sectors_per_partition() as u64;
        sector.location = Some((deadline, PartitionIndex(partition as u32)));
    }
    sector
}

fn task_row(template: &Task, number: u64, kind: TaskKind) -> Task {
    let mut task = template.clone();
    task.id = TaskId(number + 1);
    task.kind = kind;
    task.sector = Some(number);
    // As the pipeline has it: deals go before capacity.
    task.priority = if has_data(number) { 1024 } else { 0 };
    task
}

/// The replica of a file of a sector on a store.
pub(crate) fn replica(number: u64, kind: FileKind, store: StoreId, generation: u32) -> ReplicaId {
    let sector = SectorId { miner: MINER, number };
    ReplicaId { sector, kind, store, root: root_of(number, kind, generation) }
}

/// What the index says of one sector's files.
pub(crate) fn facts(number: u64, planned: Planned, store: &StoreId) -> impl Iterator<Item = Event> {
    files_of(planned.task).iter().map(move |kind| Event::Replica {
        id: replica(number, *kind, store.clone(), 0),
        size_bytes: size_of(*kind),
        primary: true,
        origin: None,
        soundness: Default::default(),
    })
}

/// Data that fills nearly a sector.
pub(crate) fn data(digest: [u8; 32], name: String) -> SectorData {
    SectorData::one(PieceData { data_bytes: 30 << 30, digest, name })
}
