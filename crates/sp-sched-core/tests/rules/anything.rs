//! Any events in any order: the laws hold after every step, and the same events give the same effects.

use proptest::prelude::*;
use sp_chain::PartitionState;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Effect;
use sp_sched_core::event::{
    ChainReply, Event, Failure, Phase, Progress, ReceiveOrder, Registration, Request, RequestId, StoreFact, TaskDone,
    TaskOutput, TaskResult,
};
use sp_sched_core::model::{Receive, Rows, UnixMs};
use sp_sched_core::proving::call::{OpeningState, ProvingId, ProvingMatter, ProvingReply, Won};
use sp_sched_core::{Config, Core};
use sp_types::{
    AttemptId, ChainEpoch, Commitment, DeadlineIndex, ErrorCode, FileKind, FileKindSet, Filters, GpuDevice, GpuId,
    HostCapacity, HostId, PartitionIndex, PieceInfo, Randomness, ReplicaId, ResourceTable, SectorId, SectorSize,
    SectorState, SessionId, Soundness, StoreId, TaskId, TaskKind, WorkerId, WorkerLimits,
};

const SEALING: [TaskKind; 14] = [
    TaskKind::DataCid,
    TaskKind::DownloadSector,
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
    TaskKind::Unseal,
    TaskKind::ReplicaUpdate,
    TaskKind::ProveReplicaUpdate1,
    TaskKind::ProveReplicaUpdate2,
    TaskKind::FinalizeReplicaUpdate,
    TaskKind::RegenSectorKey,
];
const KINDS: [FileKind; 6] =
    [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache, FileKind::Vanilla, FileKind::Update, FileKind::UpdateCache];

fn worker(n: u8) -> WorkerId {
    WorkerId::new(format!("w{n}")).unwrap()
}

fn store(n: u8) -> StoreId {
    StoreId::new(format!("s{n}")).unwrap()
}

fn session(n: u8) -> SessionId {
    SessionId::new(format!("run{n}")).unwrap()
}

fn attempt() -> impl Strategy<Value = AttemptId> {
    (1u64..8, 1u32..4).prop_map(|(task, number)| AttemptId { task: TaskId(task), number })
}

fn replica() -> impl Strategy<Value = ReplicaId> {
    (0u64..3, prop::sample::select(&KINDS[..]), 0u8..3, 0u8..3).prop_map(|(number, kind, at, root)| ReplicaId {
        sector: SectorId { miner: 1000, number },
        kind,
        store: store(at),
        root: [root; 32],
    })
}

fn output() -> impl Strategy<Value = TaskOutput> {
    let comm = Commitment([1; 32]);
    let pieces = vec![PieceInfo { padded_bytes: 2048, commitment: comm }];
    prop_oneof![
        Just(TaskOutput::None),
        Just(TaskOutput::DataCid(pieces[0])),
        Just(TaskOutput::Download { comm_r: Commitment([1; 32]), comm_r_old: None }),
        Just(TaskOutput::AddPiece { pieces, comm_d: comm }),
        Just(TaskOutput::PreCommit1 { phase1: vec![1], comm_d: comm }),
        Just(TaskOutput::PreCommit2 { comm_r: comm, comm_d: comm }),
        Just(TaskOutput::ReplicaUpdate { comm_r: Commitment([2; 32]), comm_d: comm }),
        Just(TaskOutput::Proof { proof: vec![1] }),
        (0u64..4).prop_map(|n| TaskOutput::Post { proof: vec![2], skipped: vec![(n, "unreadable".to_owned())] }),
    ]
}

/// Results that often fit what a task makes.
fn result() -> impl Strategy<Value = TaskResult> {
    let files = (0u64..3, 0usize..7, 0u8..3, 1u8..3).prop_map(|(number, made, at, root)| {
        let update: [&[FileKind]; 2] = [&KINDS[4..6], &KINDS[5..6]];
        let kinds: &[FileKind] =
            [&KINDS[..0], &KINDS[..1], &KINDS[1..3], &KINDS[2..3], &KINDS[3..4], update[0], update[1]][made];
        let sector = SectorId { miner: 1000, number };
        let named = |kind: &FileKind| (ReplicaId { sector, kind: *kind, store: store(at), root: [root; 32] }, 10);
        kinds.iter().map(named).collect::<Vec<_>>()
    });
    let done = (files, output()).prop_map(|(replicas, output)| Ok(TaskDone { replicas, output }));
    let failed = prop::sample::select(ErrorCode::ALL)
        .prop_map(|code| Err(Failure { code, message: "it did not work".to_owned() }));
    let peak = prop_oneof![Just(0), Just(1 << 30), any::<u64>()];
    (attempt(), prop::sample::select(&SEALING[..]), prop_oneof![3 => done, 1 => failed], peak).prop_map(
        |(attempt, task, outcome, peak_memory_bytes)| TaskResult {
            attempt,
            task,
            outcome,
            fetch_ms: 1,
            compute_ms: 1,
            peak_memory_bytes,
        },
    )
}

/// A host with up to two GPUs, which answer or do not.
fn capacity() -> impl Strategy<Value = HostCapacity> {
    (0u32..5, prop::collection::vec(any::<bool>(), 0..3), any::<bool>()).prop_map(|(cpus, gpus, gpus_usable)| {
        let gpu = |(index, healthy): (u32, bool)| GpuDevice {
            id: GpuId::new(format!("GPU-{index}")).unwrap(),
            name: "gpu".to_owned(),
            index,
            memory_bytes: 1 << 30,
            memory_used_bytes: 0,
            healthy,
        };
        let gpus = (0..).zip(gpus).map(gpu).collect();
        HostCapacity { memory_bytes: 1 << 30, cpus, gpus, gpus_usable, ..HostCapacity::default() }
    })
}

fn registration() -> impl Strategy<Value = Event> {
    let held = prop::collection::vec(attempt(), 0..3);
    (0u8..3, 0u8..3, 0u8..3, held, prop::collection::vec(result(), 0..2), capacity()).prop_map(
        |(n, run, role, held, finished, capacity)| {
            let tasks =
                [&SEALING[..], &[TaskKind::GenerateWindowPost], &[TaskKind::GenerateWinningPost]][role as usize];
            Event::WorkerRegistered(Box::new(Registration {
                worker: worker(n),
                session: session(run),
                host: HostId::new(format!("machine{}-boot{run}", n / 2)).unwrap(),
                name: format!("name{n}"),
                build: String::new(),
                tasks: tasks.to_vec(),
                capacity,
                limits: WorkerLimits::default(),
                resources: ResourceTable::default(),
                data_url: format!("http://{n}"),
                stores: vec![store(n)],
                builtin: n == 2,
                held,
                finished,
                pid: 1,
                pc1_streams: u32::from(n),
            }))
        },
    )
}

fn store_fact() -> impl Strategy<Value = Event> {
    (0u8..3, any::<bool>(), 0u64..200_000, any::<(bool, bool)>()).prop_map(|(n, healthy, available_bytes, uses)| {
        Event::Store(Box::new(StoreFact {
            id: store(n),
            weight: u64::from(n),
            can_seal: uses.0,
            can_store: uses.1,
            available_bytes,
            healthy,
            unhealthy_reason: String::new(),
            holders: vec![(worker(n), format!("http://{n}"))],
            filters: Filters::default(),
            groups: vec![],
            allow_to: vec![],
        }))
    })
}

fn data(sizes: &[u64]) -> SectorData {
    let piece = |bytes: &u64| PieceData { data_bytes: *bytes, digest: [1; 32], name: "f".to_owned() };
    SectorData { digest: [1; 32], pieces: sizes.iter().map(piece).collect() }
}

fn request() -> impl Strategy<Value = Request> {
    let randomness = Randomness::new([3; 32]);
    prop_oneof![
        (0u32..3).prop_map(|count| Request::Pledge { count, priority: None }),
        prop::collection::vec(0u64..2100, 0..4)
            .prop_map(|sizes| Request::AddPiece { data: data(&sizes), priority: None }),
        data_cid_request(),
        (0u64..4).prop_map(|sector| Request::Unseal { sector }),
        (0u64..4).prop_map(|sector| Request::ReleaseUnsealed { sector }),
        (0u64..4, prop::collection::vec(0u8..3, 0..3)).prop_map(|(sector, keep)| Request::TrimUnsealed {
            sector,
            keep: keep.into_iter().map(|tag| Commitment([tag; 32])).collect(),
        }),
        operator_request(),
        attempt().prop_map(|id| Request::Abort { id: id.to_string(), reason: String::new() }),
        (0u32..3).prop_map(move |d| Request::ComputeWindowPost { deadline: DeadlineIndex(d), randomness }),
        (0u32..3).prop_map(move |d| Request::CheckDeadline { deadline: DeadlineIndex(d), randomness }),
        any::<u64>().prop_map(move |pick| Request::ComputeWinningPost { randomness, pick }),
    ]
}

/// Commitments of pieces, asked for and asked about.
fn data_cid_request() -> impl Strategy<Value = Request> {
    let piece = |data_bytes| PieceData { data_bytes, digest: [1; 32], name: "f".to_owned() };
    let padded = prop::option::of(prop::sample::select(vec![100u64, 128, 2048]));
    prop_oneof![
        2 => (0u64..2100, padded).prop_map(move |(bytes, padded_bytes)| Request::DataCid { data: piece(bytes), padded_bytes }),
        3 => (0u64..8).prop_map(|task| Request::GetDataCid { task: TaskId(task) }),
    ]
}

/// What operators do to sectors, forcing them into any state included.
fn operator_request() -> impl Strategy<Value = Request> {
    let states: Vec<SectorState> = SectorState::ALL.to_vec();
    let snap = |(sector, data_bytes)| {
        let (digest, name) = ([2; 32], "g".to_owned());
        Request::Snap { sector, data: SectorData::one(PieceData { data_bytes, digest, name }), priority: None }
    };
    prop_oneof![
        3 => (0u64..3, 1u64..2_000).prop_map(snap),
        2 => (0u64..3).prop_map(|sector| Request::MarkForUpdate { sector }),
        1 => (0u64..3).prop_map(|sector| Request::AbortUpgrade { sector }),
        1 => (0u64..3).prop_map(|sector| Request::RegenSectorKey { sector }),
        1 => (0u64..5, any::<bool>()).prop_map(|(number, updated)| receive(number, updated)),
        1 => (0u64..3).prop_map(|sector| Request::Remove { sector }),
        2 => (0u64..3).prop_map(|sector| Request::Retry { sector }),
        4 => (0u64..3, prop::sample::select(states)).prop_map(|(sector, state)| Request::ForceState { sector, state }),
    ]
}

fn receive(number: u64, updated: bool) -> Request {
    let mut kinds = FileKindSet::of(&[FileKind::Sealed, FileKind::Cache]);
    if updated {
        [FileKind::Update, FileKind::UpdateCache].into_iter().for_each(|kind| kinds.insert(kind));
    }
    let receive =
        Receive { url: "http://h".to_owned(), headers: vec![], kinds, place: (DeadlineIndex(1), PartitionIndex(0)) };
    Request::Receive(Box::new(ReceiveOrder { number, receive, record: None }))
}

fn chain() -> impl Strategy<Value = Event> {
    let epoch = ChainEpoch(3);
    let reply = prop_oneof![
        Just(ChainReply::Ticket { ticket: [1; 32], epoch }),
        Just(ChainReply::PreCommitted { seed_epoch: epoch }),
        Just(ChainReply::Seed { seed: [2; 32], epoch }),
        Just(ChainReply::Committed { deadline: DeadlineIndex(0), partition: PartitionIndex(0) }),
        Just(ChainReply::Failed { reason: "no".to_owned() }),
    ];
    (0u64..4, reply).prop_map(|(sector, reply)| Event::Chain { sector, reply })
}

/// Answers about deadline 0, which is open all the time here, and about the two that follow.
fn proving() -> impl Strategy<Value = Event> {
    let numbers = || prop::collection::vec(0u64..5, 0..3);
    let partition = (0u32..3, numbers(), numbers(), any::<bool>()).prop_map(|(index, sectors, faulty, proven)| {
        let recovering = faulty.iter().copied().filter(|number| number % 2 == 0).collect();
        PartitionState { index, sectors, faulty, recovering, proven }
    });
    let drawn = prop::option::weighted(0.8, (1u8..3).prop_map(|byte| Randomness::new([byte; 32])));
    let state = (drawn, prop::collection::vec(partition, 0..3), 0u64..100_000);
    let state = state.prop_map(|(randomness, partitions, closes)| {
        let (opens, closes) = (UnixMs(0), UnixMs(closes));
        ProvingReply::State(Box::new(OpeningState { randomness, opens, closes, partitions }))
    });
    let reply = prop_oneof![
        4 => state,
        2 => Just(ProvingReply::Accepted),
        1 => Just(ProvingReply::Refused { reason: "stale".to_owned() }),
        1 => Just(ProvingReply::Failed { reason: "no".to_owned() }),
        2 => (1u8..3, 0u64..5).prop_map(|(byte, sector)| {
            ProvingReply::Election(Some(Won { randomness: Randomness::new([byte; 32]), sector }))
        }),
    ];
    let about = prop_oneof![
        4 => Just(ProvingMatter::State),
        2 => (0u32..3).prop_map(ProvingMatter::Partition),
        1 => Just(ProvingMatter::Recovery),
        1 => Just(ProvingMatter::Termination),
        3 => Just(ProvingMatter::Election),
        1 => Just(ProvingMatter::Win),
    ];
    let open = prop_oneof![3 => Just(0i64), 1 => Just(120)].prop_map(ChainEpoch);
    (open, about, reply).prop_map(|(open, about, reply)| Event::Proving { id: ProvingId { open, about }, reply })
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![3 => Just(Ok(true)), 1 => Just(Ok(false)), 1 => Just(Err("killed".to_owned()))];
    let phases =
        [Phase::Waiting, Phase::Preparing, Phase::Prepared, Phase::Running, Phase::Publishing, Phase::Returning];
    let report = (attempt(), prop::sample::select(phases.to_vec())).prop_map(|(attempt, phase)| Progress {
        attempt,
        phase,
        fraction: 0.5,
        detail: String::new(),
    });
    let progress = prop::collection::vec(report, 0..3);
    let away = (0u8..3, 0u8..3).prop_map(|(n, run)| Event::WorkerDisconnected {
        worker: worker(n),
        session: session(run),
        reason: "reset".to_owned(),
    });
    let seen = prop::option::of(capacity());
    let renewed = (0u8..3, 0u8..3, progress, seen).prop_map(|(n, run, attempts, capacity)| Event::Renewed {
        worker: worker(n),
        session: session(run),
        attempts,
        capacity,
        limits: None,
    });
    let refused = prop::option::weighted(0.2, Just(Failure { code: ErrorCode::NoSpace, message: "full".to_owned() }));
    prop_oneof![
        4 => request().prop_map(|request| Event::Request(RequestId(0), request)),
        3 => registration(),
        1 => away,
        3 => renewed,
        8 => (0u8..3, result()).prop_map(|(n, result)| Event::Result { worker: worker(n), result: Box::new(result) }),
        1 => Just(Event::IndexSnapshotBegin),
        3 => Just(Event::IndexSnapshotEnd),
        1 => Just(Event::IndexLost),
        3 => store_fact(),
        1 => (0u8..3).prop_map(|n| Event::StoreGone(store(n))),
        3 => replica().prop_map(|id| Event::Replica { id, size_bytes: 10, primary: true, origin: None, soundness: Soundness::Unknown }),
        1 => replica().prop_map(Event::ReplicaGone),
        1 => (0u8..3, 0u8..3, attempt()).prop_map(|(n, owner, attempt)| Event::StrayWork {
            worker: worker(n),
            work: vec![(attempt, worker(owner))],
        }),
        1 => replica().prop_map(|id| Event::DeleteFailed {
            id,
            failure: Failure { code: ErrorCode::Unavailable, message: "read-only".to_owned() },
        }),
        4 => (attempt(), refused).prop_map(|(attempt, refused)| Event::Reserved { attempt, refused }),
        3 => (attempt(), verdict).prop_map(|(attempt, verdict)| Event::Verified { attempt, verdict }),
        4 => chain(),
        3 => proving(),
        1 => (0i64..9).prop_map(|n| Event::Epoch(ChainEpoch(n))),
        2 => Just(Event::Wake),
    ]
}

/// Runs the events and returns every batch; each request has a number of its own and is answered at most once.
fn run(events: &[(u64, Event)]) -> Vec<Vec<Effect>> {
    let mut config = Config::new(1000, SectorSize::KiB2, [5; 32]);
    let odd = events.len() % 2 == 1;
    (config.finalize_early, config.make_cc_sectors_available, config.release_sector_key) = (odd, odd, odd);
    config.disallow_remote_finalize = odd;
    config.rehearse_percent = if odd { 50 } else { 0 };
    let (mut core, effects) = Core::restore(config, Rows::default(), UnixMs(1));
    let (mut now, mut batches, mut answered) = (1, vec![effects], std::collections::BTreeSet::new());
    for (number, (wait_ms, event)) in events.iter().enumerate() {
        now += wait_ms;
        let event = match event.clone() {
            Event::Request(_, request) => Event::Request(RequestId(number as u64), request),
            other => other,
        };
        let effects = core.step(UnixMs(now), event);
        for effect in &effects {
            match effect {
                Effect::Reply(id, _) => assert!(answered.insert(*id), "answered twice"),
                Effect::WakeAt(at) => assert!(at.0 > now, "a wake-up lies ahead"),
                _ => {}
            }
        }
        batches.push(effects);
        // Views never panic and never change anything.
        let views = (core.workers(UnixMs(now)), core.jobs(UnixMs(now)));
        assert_eq!(views, (core.workers(UnixMs(now)), core.jobs(UnixMs(now))));
        (0..4).for_each(|n| drop((core.waiting_for(n, UnixMs(now)), core.upload(n), core.unsealed(n))));
    }
    // Every request is answered in bounded time, whatever happened.
    for _ in 0..40 {
        now += 120_000;
        for effect in core.step(UnixMs(now), Event::Wake) {
            if let Effect::Reply(id, _) = effect {
                assert!(answered.insert(id), "answered twice");
            }
        }
    }
    let asked = events.iter().enumerate().filter(|(_, (_, e))| matches!(e, Event::Request(..)));
    for (number, _) in asked {
        assert!(answered.contains(&RequestId(number as u64)), "request {number} was never answered");
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_keep_the_laws(events in prop::collection::vec((0u64..3_000, event()), 1..150)) {
        let first = run(&events);
        prop_assert!(first == run(&events), "the same events, other effects");
    }
}
