//! Locks in the index: durable, listed, all or nothing with space, and ended with their attempts.

use sp_types::{FileKind, FileKindSet, FileLock, TaskId};

use super::tests::*;
use super::*;

fn wish(id: &str, is_write: bool, items: Vec<ReserveItem>, is_presented: bool) -> FromScheduler {
    let kinds = FileKindSet::of(&[FileKind::Sealed, FileKind::Cache]);
    let (read, write) = if is_write { (FileKindSet::EMPTY, kinds) } else { (kinds, FileKindSet::EMPTY) };
    let attempt = attempt(id);
    let lock = Lock { attempt, sector: SECTOR, modes: FileLock { read, write }, since_unix_ms: 5 };
    FromScheduler::Reserve(Wish { attempt, items, lock: Some(lock), is_presented })
}

fn lock(id: &str, is_write: bool) -> FromScheduler {
    wish(id, is_write, Vec::new(), false)
}

fn listed(index: &Index) -> Vec<String> {
    index.core.list_locks().into_iter().map(|lock| lock.attempt.to_string()).collect()
}

#[test]
fn a_lock_is_durable_and_ends_with_the_last_attempt_of_its_task() {
    let mut index = Index::with_store();
    assert_eq!(reserve_reply(&index.scheduler(lock("1.1", true))), None);
    assert_eq!(reserve_reply(&index.scheduler(lock("1.1", true))), None, "asked again");
    assert_eq!(reserve_reply(&index.scheduler(lock("3.1", false))), Some(ErrorCode::Locked));
    assert_eq!(reserve_reply(&index.scheduler(lock("1.2", true))), None, "the successor shares it");
    index.restart();
    assert_eq!(listed(&index), ["1.1", "1.2"]);
    assert_eq!(index.core.list_locks()[0].since_unix_ms, 5);
    index.core.scheduler_open(index.time(), SCHEDULER);
    index.pass(1);
    index.scheduler(FromScheduler::Fence { task: TaskId(1), up_to: 1 });
    assert_eq!(reserve_reply(&index.scheduler(lock("3.1", false))), Some(ErrorCode::Locked));
    index.scheduler(FromScheduler::Release(attempt("1.2")));
    assert_eq!(reserve_reply(&index.scheduler(lock("3.1", false))), None);
    assert_eq!(reserve_reply(&index.scheduler(lock("1.1", true))), Some(ErrorCode::AttemptEnded));
    index.restart();
    assert_eq!(listed(&index), ["3.1"]);
}

#[test]
fn space_and_locks_are_had_together_or_not_at_all() {
    let mut index = Index::with_store();
    let huge = || vec![item("a", u64::MAX)];
    assert_eq!(reserve_reply(&index.scheduler(wish("1.1", true, huge(), false))), Some(ErrorCode::NoSpace));
    assert_eq!(listed(&index), Vec::<String>::new(), "no lock without space");
    index.scheduler(lock("2.1", true));
    assert_eq!(reserve_reply(&index.scheduler(wish("1.2", true, vec![item("a", 1)], false))), Some(ErrorCode::Locked));
    let is_reservation = |row: &Stored| matches!(row, Stored::Reservation(..));
    assert!(!index.durable().iter().any(is_reservation), "no space without a lock");
}

#[test]
fn an_index_that_has_lost_its_state_takes_what_is_presented_and_then_the_rest() {
    let mut index = Index::with_store();
    index.core = Core::new(Timing::default());
    index.core.await_locks();
    index.pass(60_000);
    index.core.scheduler_open(index.time(), SCHEDULER);
    assert_eq!(reserve_reply(&index.scheduler(lock("2.1", true))), Some(ErrorCode::Unavailable));
    // Its store is not attached again yet; the space is charged all the same.
    assert_eq!(reserve_reply(&index.scheduler(wish("1.1", false, vec![item("a", 7)], true))), None);
    index.scheduler(FromScheduler::Presented);
    assert_eq!(reserve_reply(&index.scheduler(lock("2.1", true))), Some(ErrorCode::Locked));
    let is_reservation = |row: &Stored| matches!(row, Stored::Reservation(_, items) if items[0].size_bytes == 7);
    assert!(index.durable().iter().any(is_reservation));
    index.scheduler(FromScheduler::Fence { task: TaskId(1), up_to: 9 });
    assert_eq!(reserve_reply(&index.scheduler(lock("2.1", true))), None);
    assert_eq!(index.durable().iter().filter(|row| matches!(row, Stored::Lock(_))).count(), 1, "none leaks");
}
