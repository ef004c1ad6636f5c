//! Locks: the table of modes, attempts of one task, and random sequences held to the rules.

use proptest::prelude::*;
use sp_types::{AttemptId, FileKind, FileKindSet, FileLock, SectorId, TaskId};

use super::locks::*;

const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };
const OTHER: SectorId = SectorId { miner: 1000, number: 8 };

fn attempt(text: &str) -> AttemptId {
    text.parse().unwrap()
}

fn modes(read: &[FileKind], write: &[FileKind]) -> FileLock {
    FileLock { read: FileKindSet::of(read), write: FileKindSet::of(write) }
}

fn reads() -> FileLock {
    modes(&[FileKind::Sealed, FileKind::Cache], &[])
}

fn writes() -> FileLock {
    modes(&[], &[FileKind::Sealed])
}

fn ask_for(locks: &mut Locks, lock: Lock, is_presented: bool) -> Result<(), Why> {
    match locks.refusal(&lock, is_presented) {
        Some(why) => Err(why),
        None => {
            locks.lock(lock);
            Ok(())
        }
    }
}

fn ask(locks: &mut Locks, id: &str, sector: SectorId, modes: FileLock) -> Result<(), Why> {
    ask_for(locks, Lock { attempt: attempt(id), sector, modes, since_unix_ms: 1 }, false)
}

fn present(locks: &mut Locks, id: &str, modes: FileLock) -> Result<(), Why> {
    ask_for(locks, Lock { attempt: attempt(id), sector: SECTOR, modes, since_unix_ms: 1 }, true)
}

fn taken(by: &str) -> Result<(), Why> {
    Err(Why::Taken(attempt(by)))
}

/// Every pair of modes on one kind: what is held, what is asked for, by another task, by the same one, on other kinds.
#[test]
fn reads_share_and_writes_exclude() {
    let (read, write) = (modes(&[FileKind::Sealed], &[]), modes(&[], &[FileKind::Sealed]));
    let both = modes(&[FileKind::Sealed], &[FileKind::Sealed]);
    for (held, wanted, is_free) in [
        (read, read, true),
        (read, write, false),
        (write, read, false),
        (write, write, false),
        (both, read, false),
        (read, both, false),
    ] {
        let asked = |id: &str, sector, wanted| {
            let mut locks = Locks::default();
            assert_eq!(ask(&mut locks, "1.1", SECTOR, held), Ok(()));
            ask(&mut locks, id, sector, wanted)
        };
        let expected = if is_free { Ok(()) } else { taken("1.1") };
        assert_eq!(asked("2.1", SECTOR, wanted), expected, "{held:?} {wanted:?}");
        assert_eq!(asked("1.2", SECTOR, wanted), Ok(()), "the same task");
        let elsewhere = FileLock { read: shifted(wanted.read), write: shifted(wanted.write) };
        assert_eq!(asked("2.1", SECTOR, elsewhere), Ok(()), "another kind");
        assert_eq!(asked("2.1", OTHER, wanted), Ok(()), "another sector");
    }
}

fn shifted(kinds: FileKindSet) -> FileKindSet {
    kinds.iter().map(|_| FileKind::Update).collect()
}

#[test]
fn all_kinds_are_locked_or_none_and_a_refused_request_leaves_nothing_behind() {
    let mut locks = Locks::default();
    assert_eq!(ask(&mut locks, "1.1", SECTOR, modes(&[FileKind::Cache], &[])), Ok(()));
    let both = modes(&[], &[FileKind::Sealed, FileKind::Cache]);
    assert_eq!(ask(&mut locks, "2.1", SECTOR, both), taken("1.1"));
    // The sealed file, which nobody has, is not locked half.
    assert_eq!(ask(&mut locks, "3.1", SECTOR, writes()), Ok(()));
    assert_eq!(locks.unlock(attempt("2.1")), None, "Lotus's leak");
    assert_eq!(locks.unlock(attempt("1.1")), Some((attempt("1.1"), SECTOR)));
    assert_eq!(ask(&mut locks, "2.1", SECTOR, both), taken("3.1"));
    assert_eq!(locks.unlock(attempt("3.1")), Some((attempt("3.1"), SECTOR)));
    assert_eq!(ask(&mut locks, "2.1", SECTOR, both), Ok(()));
    assert_eq!(ask(&mut locks, "2.1", OTHER, writes()), Err(Why::HasOther(SECTOR)), "one sector at a time");
}

#[test]
fn the_successor_of_an_orphan_shares_and_the_lock_ends_with_the_last_attempt() {
    let mut locks = Locks::default();
    assert_eq!(ask(&mut locks, "1.1", SECTOR, writes()), Ok(()));
    assert_eq!(ask(&mut locks, "1.2", SECTOR, writes()), Ok(()));
    assert_eq!(locks.unlock_up_to(TaskId(1), 1), [(attempt("1.1"), SECTOR)]);
    assert_eq!(ask(&mut locks, "2.1", SECTOR, reads()), taken("1.2"));
    assert_eq!(locks.unlock_up_to(TaskId(1), 2), [(attempt("1.2"), SECTOR)]);
    assert_eq!(ask(&mut locks, "2.1", SECTOR, reads()), Ok(()));
}

#[test]
fn after_a_loss_only_what_is_presented_is_granted_until_it_opens() {
    let mut locks = Locks::default();
    locks.present();
    assert_eq!(ask(&mut locks, "1.1", SECTOR, reads()), Err(Why::NotYet));
    assert_eq!(present(&mut locks, "2.1", reads()), Ok(()));
    assert_eq!(present(&mut locks, "4.1", writes()), taken("2.1"));
    // Released meanwhile, it is still not granted to others.
    assert_eq!(locks.unlock_up_to(TaskId(2), 2).len(), 1);
    assert_eq!(ask(&mut locks, "1.1", SECTOR, writes()), Err(Why::NotYet));
    locks.open();
    assert_eq!(ask(&mut locks, "1.1", SECTOR, writes()), Ok(()));
    // Presented again, as after every loss of the connection, it is held already.
    assert_eq!(present(&mut locks, "1.1", writes()), Ok(()));
    assert_eq!(locks.held().count(), 1);
}

// === random sequences ===

#[derive(Debug, Clone)]
enum Step {
    Lock(AttemptId, SectorId, FileLock, bool),
    Unlock(AttemptId),
    Fence(TaskId, u32),
    Restart,
    Lose,
    Open,
}

fn any_attempt() -> impl Strategy<Value = AttemptId> {
    (1..4u64, 1..4u32).prop_map(|(task, number)| AttemptId { task: TaskId(task), number })
}

fn any_modes() -> impl Strategy<Value = FileLock> {
    let kinds = [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache];
    let set = move || proptest::sample::subsequence(kinds.to_vec(), 0..3).prop_map(FileKindSet::from_iter);
    (set(), set()).prop_map(|(read, write)| FileLock { read, write }).prop_filter("locks nothing", |m| !m.is_empty())
}

fn step() -> impl Strategy<Value = Step> {
    let sector = prop_oneof![3 => Just(SECTOR), 1 => Just(OTHER)];
    let is_presented = prop_oneof![4 => Just(false), 1 => Just(true)];
    prop_oneof![
        10 => (any_attempt(), sector, any_modes(), is_presented).prop_map(|(a, s, m, p)| Step::Lock(a, s, m, p)),
        4 => any_attempt().prop_map(Step::Unlock),
        2 => any_attempt().prop_map(|a| Step::Fence(a.task, a.number)),
        1 => Just(Step::Restart),
        1 => Just(Step::Lose),
        2 => Just(Step::Open),
    ]
}

fn conflict(a: &Lock, b: &Lock) -> bool {
    let any = |x: FileKindSet, y: FileKindSet| x.iter().any(|kind| y.contains(kind));
    let (x, y) = (a.modes, b.modes);
    let modes = any(x.write, y.write) || any(x.write, y.read) || any(x.read, y.write);
    a.sector == b.sector && a.attempt.task != b.attempt.task && modes
}

/// The rules of the module, on what is to be seen from outside.
fn check(locks: &Locks) {
    let held: Vec<&Lock> = locks.held().collect();
    for (at, one) in held.iter().enumerate() {
        assert!(!one.modes.is_empty());
        for other in &held[at + 1..] {
            assert!(!conflict(one, other), "{one:?} beside {other:?}");
            assert!(one.attempt != other.attempt, "held twice: {one:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_sequence_breaks_the_rules(steps in proptest::collection::vec(step(), 1..40)) {
        let (mut locks, mut presenting) = (Locks::default(), false);
        for step in steps {
            match step {
                Step::Lock(attempt, sector, modes, is_presented) => {
                    let lock = Lock { attempt, sector, modes, since_unix_ms: 1 };
                    let in_the_way = locks.held().any(|held| conflict(held, &lock));
                    let answer = ask_for(&mut locks, lock, is_presented);
                    let has = |l: &Lock| (l.attempt, l.sector) == (attempt, sector);
                    prop_assert!(answer.is_err() || locks.held().any(has));
                    prop_assert!(answer.is_err() || !(in_the_way || presenting && !is_presented));
                    let before: Vec<Lock> = locks.held().copied().collect();
                    prop_assert_eq!(ask_for(&mut locks, lock, is_presented), answer, "asked again");
                    prop_assert!(locks.held().eq(&before));
                }
                Step::Unlock(attempt) => {
                    locks.unlock(attempt);
                    prop_assert!(locks.held().all(|l| l.attempt != attempt));
                }
                Step::Fence(task, number) => {
                    locks.unlock_up_to(task, number);
                    prop_assert!(!locks.held().any(|l| l.attempt.task == task && l.attempt.number <= number));
                }
                Step::Restart => {
                    let held: Vec<Lock> = locks.held().copied().collect();
                    (locks, presenting) = (Locks::default(), false);
                    held.iter().for_each(|lock| locks.restore(*lock));
                    prop_assert!(locks.held().eq(&held));
                }
                Step::Lose => {
                    (locks, presenting) = (Locks::default(), true);
                    locks.present();
                }
                Step::Open => {
                    presenting = false;
                    locks.open();
                }
            }
            check(&locks);
        }
        for task in 1..4 {
            locks.unlock_up_to(TaskId(task), u32::MAX);
        }
        locks.open();
        prop_assert_eq!(format!("{locks:?}"), format!("{:?}", Locks::default()), "nothing leaks");
    }
}
