//! Unsealed copies that hold a part of their data: FUS, what may be read then, and what brings the rest back.

use sp_sched_core::Held;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_types::{Commitment, ErrorCode, FileKind, SectorState, TaskKind};

use crate::world::{Role, World};

/// Commitments of the two pieces, as workers compute them here.
const ONE: [u8; 32] = piece_of(0);
const TWO: [u8; 32] = piece_of(1);

const ALWAYS: [TaskKind; 3] = [TaskKind::Commit1, TaskKind::Finalize, TaskKind::FinalizeUnsealed];

const fn piece_of(at: u8) -> [u8; 32] {
    let (mut commitment, mut byte) = ([0; 32], 0);
    while byte < 32 {
        commitment[byte] = 1;
        byte += 2;
    }
    commitment[31] = at;
    commitment
}

/// A sector with two pieces of 512 padded bytes.
fn with_two_pieces(seed: u64) -> World {
    let mut world = World::new(seed);
    let with = |kinds: &[TaskKind]| Role::Sealing(kinds.iter().chain(&ALWAYS).copied().collect());
    world.add_worker("w1", with(&[TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::Unseal]), |_| {});
    world.add_worker("w2", with(&[TaskKind::PreCommit2, TaskKind::Commit2]), |_| {});
    let piece = |name: &str| PieceData { data_bytes: 500, digest: [9; 32], name: name.to_owned() };
    let data = SectorData { digest: [8; 32], pieces: vec![piece("one"), piece("two")] };
    assert_eq!(world.answer(Request::AddPiece { data, priority: None }), Reply::Sectors(vec![0]));
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    world.run_for(70_000);
    world
}

fn trim(keep: &[[u8; 32]]) -> Request {
    Request::TrimUnsealed { sector: 0, keep: keep.iter().copied().map(Commitment).collect() }
}

fn refusal(world: &mut World, request: Request) -> (ErrorCode, String) {
    let Reply::Failed { code, message } = world.answer(request.clone()) else { panic!("{request:?} was granted") };
    (code, message)
}

fn held(world: &World) -> Option<Vec<std::ops::Range<u64>>> {
    match world.core().sector(0)?.unsealed_held()? {
        Held::Ranges(ranges) => Some(ranges.to_vec()),
        Held::All | Held::Unknown => None,
    }
}

fn trimmed(world: &mut World) {
    let reply = world.answer(trim(&[TWO]));
    assert_eq!(reply, Reply::Trimming { kept: 1, pieces: 2, under_way: true });
    assert!(world.run_until(60_000, |w| held(w).is_some()), "{}", world.describe());
    world.run_for(70_000);
}

#[test]
fn a_part_is_kept_where_it_lies_and_all_of_it_comes_back() {
    let mut world = with_two_pieces(1);
    let may_read =
        |w: &World, piece: Option<[u8; 32]>| w.core().sector(0).unwrap().may_read(piece.map(Commitment).as_ref());
    assert_eq!(world.answer(trim(&[TWO, ONE])), Reply::Trimming { kept: 2, pieces: 2, under_way: false });
    assert_eq!(world.edges(0, "FUS asked for"), 0);
    let before = world.core().unsealed(0).unwrap();
    trimmed(&mut world);
    let second = 512..1024;
    assert_eq!(held(&world), Some(vec![second]));
    let after = world.core().unsealed(0).unwrap();
    assert!(before.0 != after.0 && after.1 > 2048, "{after:?}");
    assert_eq!(before.2, after.2, "it lies where it lay");
    assert_eq!(
        (may_read(&world, Some(TWO)), may_read(&world, Some(ONE)), may_read(&world, None)),
        (true, false, false)
    );
    assert_eq!(world.core().sector(0).unwrap().unsealed_pieces(), 1);
    assert_eq!(world.answer(trim(&[TWO])), Reply::Trimming { kept: 1, pieces: 2, under_way: false });
    let (code, message) = refusal(&mut world, trim(&[ONE]));
    assert!(code == ErrorCode::WrongState && message.contains("has let go of piece `one`"), "{message}");

    // The scheduler knows it after a restart, and a part is there while all of it is made.
    world.kill_scheduler();
    world.start_scheduler();
    world.run_for(10_000);
    assert_eq!(world.answer(Request::Unseal { sector: 0 }), Reply::Unsealing { ready: false });
    assert!(may_read(&world, Some(TWO)) && world.core().unsealed(0).is_some());
    assert!(world.run_until(60_000, |w| may_read(w, None)), "{}", world.describe());
    world.run_for(70_000);
    assert_eq!(world.answer(Request::Unseal { sector: 0 }), Reply::Unsealing { ready: true });
    assert_eq!((held(&world), world.core().unsealed(0).unwrap().1), (None, 2048));
    let copies = world.index.replicas.keys().filter(|id| id.kind == FileKind::Unsealed).count();
    assert_eq!(copies, 1, "the partial one is gone");
    assert!(world.database.tasks.is_empty() && world.index.holds_nothing());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut world = with_two_pieces(2);
    for (request, code, text) in [
        (trim(&[]), ErrorCode::BadRequest, "name the pieces"),
        (trim(&[TWO, [7; 32]]), ErrorCode::BadRequest, "holds no piece with the commitment"),
    ] {
        let (got, message) = refusal(&mut world, request);
        assert!(got == code && message.contains(text), "{message}");
    }
    world.answer(Request::Pin { sector: 0, reason: "a test".to_owned() });
    assert!(refusal(&mut world, trim(&[TWO])).1.contains("pinned"));
    world.answer(Request::Unpin { sector: 0 });
    assert_eq!(world.answer(Request::ReleaseUnsealed { sector: 0 }), Reply::Released { replicas: 1 });
    world.run_for(70_000);
    assert!(refusal(&mut world, trim(&[TWO])).1.contains("has no unsealed copy to keep anything of"));
}

#[test]
fn nobody_counts_on_what_is_being_let_go_of() {
    let mut world = with_two_pieces(3);
    world.workers.values_mut().for_each(|worker| worker.compute_ms = 60_000);
    world.answer(trim(&[TWO]));
    assert_eq!(world.answer(trim(&[TWO])), Reply::Trimming { kept: 1, pieces: 2, under_way: true });
    for request in [trim(&[ONE]), Request::Unseal { sector: 0 }, Request::ReleaseUnsealed { sector: 0 }] {
        assert!(refusal(&mut world, request).1.contains("letting go of a part of its unsealed copy"));
    }
    // Aborted, it leaves everything as it was.
    let task = *world.database.tasks.keys().next().unwrap();
    world.answer(Request::Abort { id: task.to_string(), reason: String::new() });
    world.run_for(70_000);
    assert_eq!(world.answer(Request::Unseal { sector: 0 }), Reply::Unsealing { ready: true });
    assert!(world.core().sector(0).unwrap().keep.is_empty());
}

#[test]
fn a_sector_that_is_removed_meanwhile_leaves_nothing() {
    let mut world = with_two_pieces(4);
    world.workers.values_mut().for_each(|worker| worker.compute_ms = 20_000);
    world.answer(trim(&[TWO]));
    world.run_for(5_000);
    world.answer(Request::Remove { sector: 0 });
    let removed = |w: &World| w.core().sector(0).unwrap().state == SectorState::Removed;
    assert!(world.run_until(600_000, removed), "{}", world.describe());
    world.run_for(70_000);
    assert!(world.index.replicas.is_empty() && world.database.tasks.is_empty(), "{}", world.describe());
}

#[test]
fn a_trim_that_fails_for_good_changes_nothing() {
    let mut world = with_two_pieces(5);
    world.workers.values_mut().for_each(|worker| {
        worker.fails.insert(TaskKind::FinalizeUnsealed, 1_000);
    });
    world.answer(trim(&[TWO]));
    assert!(world.run_until(3_600_000, |w| w.edges(0, "FUS given up") == 1), "{}", world.describe());
    assert_eq!(world.core().sector(0).unwrap().state, SectorState::Proving);
    assert_eq!(world.answer(Request::Unseal { sector: 0 }), Reply::Unsealing { ready: true });
}
