//! DC: a task like any other that is about no sector, bound to the client who waits for it.

use sp_sched_core::data::PieceData;
use sp_sched_core::data_cid::DataCidState;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Request, StoreFact, TaskDone, TaskOutput, TaskResult};
use sp_sched_core::model::{Outcome, UnixMs};
use sp_types::{
    Commitment, ErrorCode, FileKind, PieceInfo, ReplicaId, ResourceTable, SectorId, TaskId, TaskKind, WorkerId,
};

use crate::desk::{Desk, lotus_machine, store};
use crate::world::{Happening, Role, World};

const DC: TaskKind = TaskKind::DataCid;

fn ask_for(data_bytes: u64, padded_bytes: Option<u64>) -> Request {
    Request::DataCid { data: PieceData { data_bytes, digest: [9; 32], name: "cat.jpg".to_owned() }, padded_bytes }
}

fn begin(world: &mut World, padded_bytes: Option<u64>) -> TaskId {
    match world.answer(ask_for(1000, padded_bytes)) {
        Reply::DataCid { task, .. } => task,
        other => panic!("{other:?}"),
    }
}

fn state(world: &mut World, task: TaskId) -> DataCidState {
    match world.answer(Request::GetDataCid { task }) {
        Reply::DataCidState(state) => state,
        other => panic!("{other:?}"),
    }
}

/// Asks as a client does, until it is told something else.
fn wait_while(world: &mut World, task: TaskId, waits: impl Fn(&DataCidState) -> bool) -> DataCidState {
    for _ in 0..2_000 {
        let told = state(world, task);
        if !waits(&told) {
            return told;
        }
        world.run_for(300);
    }
    panic!("{task} takes for ever: {:?}", world.core().jobs(world.clock()));
}

fn is_waiting(told: &DataCidState) -> bool {
    matches!(told, DataCidState::Waiting { .. })
}

fn is_open(told: &DataCidState) -> bool {
    matches!(told, DataCidState::Waiting { .. } | DataCidState::Upload { .. })
}

fn is_forgotten(world: &mut World, task: TaskId) {
    let told = world.answer(Request::GetDataCid { task });
    assert!(matches!(told, Reply::Failed { code: ErrorCode::NotFound, .. }), "{told:?}");
}

/// Nothing of it is left anywhere.
fn nothing_is_left(world: &mut World) {
    world.run_for(5_000);
    assert!(world.database.tasks.is_empty(), "{:?}", world.database.tasks);
    assert!(world.index.holds_nothing(), "{:?} {:?}", world.index.reservations, world.index.locks);
    assert!(world.index.replicas.is_empty() && world.database.sectors.is_empty());
    for worker in world.workers.values() {
        assert!(worker.attempts.is_empty() && worker.results.is_empty(), "{}", worker.id);
    }
}

/// A world with one worker that takes so long.
fn world(compute_ms: u64) -> (World, WorkerId) {
    let mut world = World::new(7);
    let worker = world.add_worker("w1", Role::Sealing(vec![DC]), |w| w.compute_ms = compute_ms);
    world.run_for(200);
    (world, worker)
}

#[test]
fn the_data_is_uploaded_to_a_worker_and_its_commitment_told() {
    let (mut world, _) = world(60_000);
    let reply = world.answer(ask_for(1000, None));
    assert_eq!(reply, Reply::DataCid { task: TaskId(1), padded_bytes: 1024 });
    let told = wait_while(&mut world, TaskId(1), is_waiting);
    let DataCidState::Upload { data_url, ticket } = told else { panic!("{told:?}") };
    assert_eq!((data_url.as_str(), ticket.len()), ("http://w1", 32));
    let job = &world.core().jobs(world.clock())[0];
    assert_eq!((job.task, job.sector, job.state), (DC, None, "running"));
    let held: Vec<_> = world.index.reservations.values().flatten().collect();
    assert!(held.len() == 1 && (held[0].kind, held[0].reserved_bytes) == (FileKind::Piece, 1000), "{held:?}");

    let told = wait_while(&mut world, TaskId(1), is_open);
    let commitment = Commitment([1, 0].repeat(16).try_into().unwrap());
    assert_eq!(told, DataCidState::Done(PieceInfo { padded_bytes: 1024, commitment }));
    assert_eq!(state(&mut world, TaskId(1)), told, "told again to who missed it");
    nothing_is_left(&mut world);
    let history = &world.database.history;
    assert!(history.len() == 1 && (history[0].kind, history[0].sector) == (DC, None), "{history:?}");
    assert_eq!(history[0].outcome, Outcome::Done);
    world.run_for(61_000);
    is_forgotten(&mut world, TaskId(1));
}

#[test]
fn sizes_of_no_piece_are_refused_and_change_nothing() {
    let (mut world, _) = world(1_000);
    let before = world.database.clone();
    for (bytes, padded, code) in [
        (0, None, ErrorCode::EmptyPiece),
        (1000, Some(512), ErrorCode::PieceTooLarge),
        (1000, Some(3000), ErrorCode::BadRequest),
        (1 << 40, None, ErrorCode::PieceTooLarge),
    ] {
        let told = world.answer(ask_for(bytes, padded));
        assert!(matches!(told, Reply::Failed { code: c, .. } if c == code), "{bytes} {padded:?}: {told:?}");
    }
    assert_eq!(world.database, before);
    is_forgotten(&mut world, TaskId(1));
}

#[test]
fn it_ends_with_its_client() {
    let (mut world, _) = world(600_000);
    let task = begin(&mut world, Some(4096));
    // As long as somebody asks it goes on, however long that takes; to look is not to ask.
    for _ in 0..5 {
        let urged = |world: &World| world.core().data_cid_state(task, world.clock()).map(|(_, urged)| urged);
        assert_eq!(urged(&world), Some(false));
        world.run_for(50_000);
        assert_eq!(urged(&world), Some(true));
        assert!(is_open(&state(&mut world, task)));
    }
    world.run_for(61_000);
    is_forgotten(&mut world, task);
    nothing_is_left(&mut world);
    assert_eq!(world.database.history.last().unwrap().outcome, Outcome::Ended);
}

#[test]
fn whoever_cancels_it_is_told_what_it_was_and_the_client_why() {
    let (mut world, _) = world(600_000);
    let task = begin(&mut world, None);
    world.run_for(5_000);
    let told = world.answer(Request::Abort { id: task.to_string(), reason: "enough".to_owned() });
    assert_eq!(told, Reply::Aborted { description: "job 1, task DC, file cat.jpg".to_owned() });
    let DataCidState::Failed(failure) = state(&mut world, task) else { panic!("it goes on") };
    assert_eq!((failure.code, failure.message.as_str()), (ErrorCode::Cancelled, "aborted: enough"));
    nothing_is_left(&mut world);

    // One attempt that is aborted is another one's turn.
    let task = begin(&mut world, None);
    world.run_for(5_000);
    let told = world.answer(Request::Abort { id: format!("{task}.1"), reason: String::new() });
    let words = "job 2.1, task DC, file cat.jpg, running on host w1";
    assert_eq!(told, Reply::Aborted { description: words.to_owned() });
    world.run_for(5_000);
    assert!(is_open(&state(&mut world, task)));
    assert_eq!(world.core().jobs(world.clock())[0].attempt.map(|a| a.number), Some(2));
}

#[test]
fn a_restarted_scheduler_ends_it_and_says_that_it_knows_nothing() {
    let (mut world, _) = world(30_000);
    let task = begin(&mut world, None);
    assert!(!is_waiting(&wait_while(&mut world, task, is_waiting)));
    world.kill_scheduler();
    world.after(1_000, Happening::StartScheduler);
    world.run_for(3_000);
    is_forgotten(&mut world, task);
    nothing_is_left(&mut world);
    assert!(begin(&mut world, None) > task, "the client begins again under another id");
}

#[test]
fn failures_are_tried_again_until_there_are_too_many() {
    let (mut world, worker) = world(1_000);
    world.workers.get_mut(&worker).unwrap().fails.insert(DC, 2);
    let task = begin(&mut world, None);
    let told = wait_while(&mut world, task, is_open);
    assert!(matches!(told, DataCidState::Done(_)), "{told:?}");

    world.workers.get_mut(&worker).unwrap().fails.insert(DC, 1_000);
    let task = begin(&mut world, None);
    let DataCidState::Failed(failure) = wait_while(&mut world, task, is_open) else { panic!("it cannot work") };
    assert!(failure.message.contains("the executor was killed"), "{failure:?}");
    nothing_is_left(&mut world);
}

#[test]
fn it_survives_the_loss_of_its_worker() {
    let (mut world, first) = world(40_000);
    let task = begin(&mut world, None);
    assert!(!is_waiting(&wait_while(&mut world, task, is_waiting)));
    world.add_worker("w2", Role::Sealing(vec![DC]), |_| {});
    world.kill_worker(&first);
    let told = wait_while(
        &mut world,
        task,
        |told| !matches!(told, DataCidState::Upload { data_url, .. } if data_url == "http://w2"),
    );
    assert!(!is_waiting(&told), "another one takes the upload: {told:?}");
    assert!(matches!(wait_while(&mut world, task, is_open), DataCidState::Done(_)));
}

#[test]
fn there_is_a_bound_of_them() {
    let mut world = World::new(7);
    for _ in 0..64 {
        begin(&mut world, None);
    }
    let told = world.answer(ask_for(1, None));
    assert!(matches!(told, Reply::Failed { code: ErrorCode::Unavailable, .. }), "{told:?}");
    world.run_for(61_000);
    assert!(world.database.tasks.is_empty());
    begin(&mut world, None);
}

// === placement ===

fn table(vars: &[(&str, &str)]) -> ResourceTable {
    ResourceTable::with_env(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap()
}

/// Why the last DC waits.
fn why(desk: &Desk) -> String {
    let jobs = desk.core.jobs(UnixMs(desk.now));
    jobs.iter().rev().find(|job| job.task == DC).map(|job| job.reasons.join("; ")).unwrap_or_default()
}

#[test]
fn workers_refuse_it_in_the_words_of_every_other_kind() {
    let mut desk = Desk::new(|_| {}, &[]);
    desk.ask(ask_for(1000, None));
    assert_eq!(why(&desk), "index away: new sealing placements wait");
    desk.join("a", &[TaskKind::AddPiece], lotus_machine());
    desk.index(&["a"], &[]);
    assert_eq!(why(&desk), "a: does not take DC");
    let explained = desk.core.explain(TaskId(1), UnixMs(desk.now)).unwrap();
    assert_eq!((explained.kind, explained.sector, explained.verdicts[0].code), (DC, None, "task"));

    desk.join_with("b", &[DC], lotus_machine(), table(&[("DC_MAX_CONCURRENT", "1")]), |_| {});
    desk.index(&["a", "b"], &[]);
    assert_eq!(desk.news(), ["DC 0 on b"]);
    desk.ask(ask_for(1000, None));
    assert_eq!(why(&desk), "a: does not take DC; b: has 1 DC already, its limit is 1");
    desk.ask(Request::Cordon { worker: "b".to_owned(), cordoned: true });
    assert_eq!(why(&desk), "a: does not take DC; b: is cordoned");
    desk.ask(Request::Cordon { worker: "b".to_owned(), cordoned: false });
    desk.ask(Request::EnableTasks { worker: "b".to_owned(), tasks: vec![DC], enabled: false });
    assert_eq!(why(&desk), "a: does not take DC; b: DC is disabled there");
}

#[test]
fn it_needs_room_on_a_path_that_takes_pieces() {
    let with = |change: &dyn Fn(&mut StoreFact)| {
        let mut desk = Desk::new(|_| {}, &[]);
        desk.join("a", &[DC], lotus_machine());
        desk.step(Event::IndexSnapshotBegin);
        desk.attach_with("a", "a", change);
        desk.step(Event::IndexSnapshotEnd);
        desk.ask(ask_for(1000, None));
        why(&desk)
    };
    assert_eq!(with(&|_| {}), "");
    assert_eq!(with(&|fact| fact.available_bytes = 999), "a: no store with 1000 B free for the upload");
    assert_eq!(with(&|fact| fact.can_seal = false), "a: no healthy store that takes piece");
    assert_eq!(with(&|fact| fact.healthy = false), "a: no healthy store that takes piece");
    assert_eq!(
        with(&|fact| fact.filters.deny_types = vec!["piece".to_owned()]),
        "a: no healthy store that takes piece"
    );
}

#[test]
fn a_result_that_was_not_asked_for_does_not_count() {
    let commitment = Commitment([3; 32]);
    let piece = |padded_bytes| TaskOutput::DataCid(PieceInfo { padded_bytes, commitment });
    let (sector, root) = (SectorId { miner: 1000, number: 0 }, [5; 32]);
    let file = (ReplicaId { sector, kind: FileKind::Piece, store: store("a"), root }, 1000);
    let cases: [(TaskOutput, bool, bool); 4] = [
        (piece(1024), false, true),
        (piece(2048), false, false),
        (TaskOutput::None, false, false),
        (piece(1024), true, false),
    ];
    for (output, with_file, counts) in cases {
        let mut desk = Desk::new(|_| {}, &[]);
        let worker = desk.join("a", &[DC], lotus_machine());
        desk.index(&["a"], &[]);
        desk.ask(ask_for(1000, None));
        let attempt = desk.attempt(DC, 0);
        let replicas = if with_file { vec![file.clone()] } else { vec![] };
        let outcome = Ok(TaskDone { replicas, output: output.clone() });
        let result = TaskResult { attempt, task: DC, outcome, fetch_ms: 0, compute_ms: 1, peak_memory_bytes: 0 };
        desk.step(Event::Result { worker, result: Box::new(result) });
        let Reply::DataCidState(told) = desk.ask(Request::GetDataCid { task: TaskId(1) }) else { panic!() };
        let known = DataCidState::Done(PieceInfo { padded_bytes: 1024, commitment });
        assert_eq!(told == known, counts, "{output:?}: {told:?}");
    }
}
