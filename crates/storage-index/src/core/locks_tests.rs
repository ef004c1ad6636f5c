//! Locks: the table of modes, fairness, attempts of one task, and random sequences held to the rules.

use proptest::prelude::*;
use sp_types::{AttemptId, FileKind, FileKindSet, SectorId, TaskId};

use super::locks::*;

const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };
const OTHER: SectorId = SectorId { miner: 1000, number: 8 };

fn attempt(text: &str) -> AttemptId {
    text.parse().unwrap()
}

fn modes(read: &[FileKind], write: &[FileKind]) -> Modes {
    Modes { read: FileKindSet::of(read), write: FileKindSet::of(write) }
}

fn reads() -> Modes {
    modes(&[FileKind::Sealed, FileKind::Cache], &[])
}

fn writes() -> Modes {
    modes(&[], &[FileKind::Sealed])
}

fn ask(locks: &mut Locks, id: &str, sector: SectorId, modes: Modes, manner: Manner) -> Answer {
    locks.lock(Lock { attempt: attempt(id), sector, modes, since_unix_ms: 1 }, manner).0
}

fn wait(locks: &mut Locks, id: &str, modes: Modes) -> Answer {
    ask(locks, id, SECTOR, modes, Manner::Wait)
}

fn attempt_try(locks: &mut Locks, id: &str, modes: Modes) -> Answer {
    ask(locks, id, SECTOR, modes, Manner::Try)
}

/// Attempts that got something, in order.
fn granted(changes: Vec<Change>) -> Vec<String> {
    let held = |change| if let Change::Held(lock) = change { Some(lock.attempt.to_string()) } else { None };
    changes.into_iter().filter_map(held).collect()
}

/// Every pair of modes on one kind: what is held, what is asked for, by another task, by the same one, on other kinds.
#[test]
fn reads_share_and_writes_exclude() {
    let (none, read, write) = (modes(&[], &[]), modes(&[FileKind::Sealed], &[]), modes(&[], &[FileKind::Sealed]));
    let both = modes(&[FileKind::Sealed], &[FileKind::Sealed]);
    for (held, wanted, is_free) in [
        (none, read, true),
        (none, write, true),
        (read, read, true),
        (read, write, false),
        (write, read, false),
        (write, write, false),
        (both, read, false),
        (read, both, false),
    ] {
        let asked = |id: &str, sector, wanted| {
            let mut locks = Locks::default();
            if !held.is_empty() {
                assert_eq!(wait(&mut locks, "1.1", held), Answer::Granted);
            }
            ask(&mut locks, id, sector, wanted, Manner::Try)
        };
        let refused = Answer::Refused(Why::Taken(attempt("1.1")));
        let expected = if is_free { Answer::Granted } else { refused };
        assert_eq!(asked("2.1", SECTOR, wanted), expected, "{held:?} {wanted:?}");
        assert_eq!(asked("1.2", SECTOR, wanted), Answer::Granted, "the same task");
        let elsewhere = Modes { read: shifted(wanted.read), write: shifted(wanted.write) };
        assert_eq!(asked("2.1", SECTOR, elsewhere), Answer::Granted, "another kind");
        assert_eq!(asked("2.1", OTHER, wanted), Answer::Granted, "another sector");
    }
    assert_eq!(wait(&mut Locks::default(), "1.1", none), Answer::Refused(Why::Empty));
}

fn shifted(kinds: FileKindSet) -> FileKindSet {
    kinds.iter().map(|_| FileKind::Update).collect()
}

#[test]
fn all_kinds_are_locked_or_none() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", modes(&[FileKind::Cache], &[])), Answer::Granted);
    let both = modes(&[], &[FileKind::Sealed, FileKind::Cache]);
    assert_eq!(wait(&mut locks, "2.1", both), Answer::Waits);
    // The sealed file, which nobody has, is not locked half.
    assert_eq!(attempt_try(&mut locks, "3.1", writes()), Answer::Granted);
    assert_eq!(granted(locks.unlock(attempt("1.1"))), Vec::<String>::new());
    assert_eq!(granted(locks.unlock(attempt("3.1"))), ["2.1"]);
}

#[test]
fn requests_are_granted_in_the_order_in_which_they_came() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", reads()), Answer::Granted);
    assert_eq!(wait(&mut locks, "2.1", writes()), Answer::Waits);
    // Readers do not pass a writer that waits, or it would never come to it.
    assert_eq!(wait(&mut locks, "3.1", reads()), Answer::Waits);
    assert_eq!(wait(&mut locks, "4.1", reads()), Answer::Waits);
    assert_eq!(wait(&mut locks, "5.1", writes()), Answer::Waits);
    // What has nothing to do with them passes.
    assert_eq!(wait(&mut locks, "6.1", modes(&[FileKind::Unsealed], &[])), Answer::Granted);
    // Asked again, the place in the queue stays.
    assert_eq!(wait(&mut locks, "2.1", writes()), Answer::Waits);
    assert_eq!(granted(locks.unlock(attempt("1.1"))), ["2.1"]);
    assert_eq!(granted(locks.unlock(attempt("2.1"))), ["3.1", "4.1"]);
    assert_eq!(granted(locks.unlock(attempt("3.1"))), Vec::<String>::new());
    assert_eq!(granted(locks.unlock(attempt("4.1"))), ["5.1"]);
}

#[test]
fn a_try_minds_what_is_held_and_not_who_waits() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", reads()), Answer::Granted);
    assert_eq!(wait(&mut locks, "2.1", writes()), Answer::Waits);
    assert_eq!(attempt_try(&mut locks, "3.1", reads()), Answer::Granted);
    assert_eq!(attempt_try(&mut locks, "4.1", writes()), Answer::Refused(Why::Taken(attempt("1.1"))));
    // A refused try leaves nothing behind, Lotus's leak.
    assert!(locks.unlock(attempt("4.1")).is_empty());
    assert_eq!(locks.held().chain(locks.waiting()).count(), 3);
}

#[test]
fn the_successor_of_an_orphan_shares_and_the_lock_ends_with_the_last_attempt() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", writes()), Answer::Granted);
    assert_eq!(wait(&mut locks, "2.1", writes()), Answer::Waits);
    // It passes who waits: its task has it already.
    assert_eq!(wait(&mut locks, "1.2", writes()), Answer::Granted);
    assert_eq!(granted(locks.unlock(attempt("1.1"))), Vec::<String>::new());
    assert_eq!(granted(locks.unlock_up_to(TaskId(1), 1)), Vec::<String>::new());
    assert_eq!(granted(locks.unlock_up_to(TaskId(1), 2)), ["2.1"]);
    // Two attempts of a task that wait together get it together.
    assert_eq!(wait(&mut locks, "3.1", writes()), Answer::Waits);
    assert_eq!(wait(&mut locks, "4.1", writes()), Answer::Waits);
    assert_eq!(wait(&mut locks, "3.2", writes()), Answer::Waits);
    assert_eq!(granted(locks.unlock(attempt("2.1"))), ["3.1", "3.2"]);
}

#[test]
fn nobody_waits_who_holds_something_so_there_is_no_circle() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", reads()), Answer::Granted);
    assert_eq!(wait(&mut locks, "2.1", reads()), Answer::Granted);
    // Both want to write now: Lotus would have them wait for each other for ever.
    assert_eq!(wait(&mut locks, "1.1", writes()), Answer::Refused(Why::HoldsOther(attempt("1.1"))));
    assert_eq!(wait(&mut locks, "2.2", writes()), Answer::Refused(Why::HoldsOther(attempt("2.1"))));
    locks.unlock(attempt("2.1"));
    // Alone, it may.
    assert_eq!(wait(&mut locks, "1.1", writes()), Answer::Granted);
    assert_eq!(wait(&mut locks, "3.1", reads()), Answer::Waits);
    let elsewhere = ask(&mut locks, "1.1", OTHER, writes(), Manner::Wait);
    assert_eq!(elsewhere, Answer::Granted, "nothing in the way");
    assert_eq!(wait(&mut locks, "3.2", writes()), Answer::Refused(Why::HoldsOther(attempt("3.1"))), "one at a time");
}

#[test]
fn after_a_loss_only_what_is_presented_is_granted_until_it_opens() {
    let mut locks = Locks::default();
    locks.present();
    assert_eq!(wait(&mut locks, "1.1", writes()), Answer::Waits);
    assert_eq!(attempt_try(&mut locks, "3.1", reads()), Answer::Refused(Why::NotYet));
    assert_eq!(ask(&mut locks, "2.1", SECTOR, reads(), Manner::Present), Answer::Granted);
    assert_eq!(ask(&mut locks, "4.1", SECTOR, writes(), Manner::Present), Answer::Refused(Why::Taken(attempt("2.1"))));
    assert_eq!(wait(&mut locks, "2.2", reads()), Answer::Granted, "its task has presented it");
    // Released meanwhile, it is still not granted to others.
    assert_eq!(granted(locks.unlock_up_to(TaskId(2), 2)), Vec::<String>::new());
    assert_eq!(granted(locks.open()), ["1.1"]);
    assert_eq!(attempt_try(&mut locks, "3.1", reads()), Answer::Refused(Why::Taken(attempt("1.1"))));
}

#[test]
fn a_queue_is_bounded() {
    let mut locks = Locks::default();
    assert_eq!(wait(&mut locks, "1.1", writes()), Answer::Granted);
    let answers: Vec<_> = (2..100).map(|task| wait(&mut locks, &format!("{task}.1"), writes())).collect();
    let waiting = answers.iter().filter(|answer| **answer == Answer::Waits).count();
    assert_eq!(waiting, 64);
    assert_eq!(answers.last(), Some(&Answer::Refused(Why::TooMany)));
}

// === random sequences ===

#[derive(Debug, Clone)]
enum Step {
    Lock(AttemptId, SectorId, Modes, Manner),
    Unlock(AttemptId),
    Fence(TaskId, u32),
    Restart,
    Lose,
    Open,
}

fn any_attempt() -> impl Strategy<Value = AttemptId> {
    (1..4u64, 1..4u32).prop_map(|(task, number)| AttemptId { task: TaskId(task), number })
}

fn any_modes() -> impl Strategy<Value = Modes> {
    let kinds = [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache];
    let set = move || proptest::sample::subsequence(kinds.to_vec(), 0..3).prop_map(FileKindSet::from_iter);
    (set(), set()).prop_map(|(read, write)| Modes { read, write })
}

fn step() -> impl Strategy<Value = Step> {
    let manner = prop_oneof![4 => Just(Manner::Wait), 2 => Just(Manner::Try), 1 => Just(Manner::Present)];
    let sector = prop_oneof![3 => Just(SECTOR), 1 => Just(OTHER)];
    prop_oneof![
        10 => (any_attempt(), sector, any_modes(), manner).prop_map(|(a, s, m, how)| Step::Lock(a, s, m, how)),
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
    let (held, waiting): (Vec<&Lock>, Vec<&Lock>) = (locks.held().collect(), locks.waiting().collect());
    for (at, one) in held.iter().enumerate() {
        assert!(!one.modes.is_empty());
        for other in &held[at + 1..] {
            assert!(!conflict(one, other), "{one:?} beside {other:?}");
            assert!((one.attempt, one.sector) != (other.attempt, other.sector), "held twice: {one:?}");
        }
    }
    for (at, waiter) in waiting.iter().enumerate() {
        let earlier = waiting[..at].iter().any(|other| conflict(waiter, other));
        let taken = held.iter().any(|lock| conflict(waiter, lock));
        assert!(earlier || taken || locks.is_presenting(), "{waiter:?} waits for nothing");
        let own = held.iter().find(|lock| lock.attempt.task == waiter.attempt.task);
        assert!(own.is_none(), "{waiter:?} waits and holds {own:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_sequence_breaks_the_rules(steps in proptest::collection::vec(step(), 1..40)) {
        let mut locks = Locks::default();
        for step in steps {
            let queue: Vec<Lock> = locks.waiting().copied().collect();
            let changes = match step {
                Step::Lock(attempt, sector, modes, manner) => {
                    let lock = Lock { attempt, sector, modes, since_unix_ms: 1 };
                    let (answer, changes) = locks.lock(lock, manner);
                    let has = |l: &Lock| (l.attempt, l.sector) == (attempt, sector);
                    prop_assert!(answer != Answer::Granted || locks.held().any(has));
                    prop_assert!(answer != Answer::Waits || locks.waiting().any(has));
                    prop_assert_eq!(locks.lock(lock, manner), (answer, vec![]), "asked again");
                    changes
                }
                Step::Unlock(attempt) => {
                    let changes = locks.unlock(attempt);
                    prop_assert!(locks.held().chain(locks.waiting()).all(|l| l.attempt != attempt));
                    changes
                }
                Step::Fence(task, number) => {
                    let changes = locks.unlock_up_to(task, number);
                    let ended = |l: &Lock| l.attempt.task == task && l.attempt.number <= number;
                    prop_assert!(!locks.held().chain(locks.waiting()).any(ended));
                    changes
                }
                Step::Restart => {
                    let held: Vec<Lock> = locks.held().copied().collect();
                    locks = Locks::default();
                    held.iter().for_each(|lock| locks.restore(*lock));
                    prop_assert!(locks.held().eq(&held));
                    vec![]
                }
                Step::Lose => {
                    locks = Locks::default();
                    locks.present();
                    vec![]
                }
                Step::Open => locks.open(),
            };
            check(&locks);
            // Whoever came first went first.
            for change in changes {
                let Change::Held(lock) = change else { continue };
                let is = |l: &Lock| (l.attempt, l.sector) == (lock.attempt, lock.sector);
                let Some(at) = queue.iter().position(is) else { continue };
                let waits = |other: &&Lock| conflict(other, &queue[at]) && locks.waiting().any(|l| l == *other);
                let passed = queue[..at].iter().find(waits);
                let shares = locks.held().any(|l| {
                    l.sector == lock.sector && l.attempt.task == lock.attempt.task && l.attempt != lock.attempt
                });
                prop_assert!(passed.is_none() || shares, "{:?} was passed by {:?}", passed, lock);
            }
        }
        for task in 1..4 {
            locks.unlock_up_to(TaskId(task), u32::MAX);
        }
        locks.open();
        prop_assert_eq!(format!("{locks:?}"), format!("{:?}", Locks::default()), "nothing leaks");
    }
}
