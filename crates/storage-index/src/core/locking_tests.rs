//! Locks in the index: durable, told, listed, and ended with their attempts.

use sp_types::{FileKind, FileKindSet, TaskId};

use super::tests::*;
use super::*;

fn lock(id: &str, is_write: bool, manner: Manner) -> FromScheduler {
    let kinds = FileKindSet::of(&[FileKind::Sealed, FileKind::Cache]);
    let (read, write) = if is_write { (FileKindSet::EMPTY, kinds) } else { (kinds, FileKindSet::EMPTY) };
    let modes = Modes { read, write };
    FromScheduler::Lock(Lock { attempt: attempt(id), sector: SECTOR, modes, since_unix_ms: 5 }, manner)
}

/// What the scheduler hears of locks: the attempt, and `granted`, `waits` or the code of the refusal.
fn replies(effects: &[Effect]) -> Vec<String> {
    let reply = |fact: &Fact| match fact {
        Fact::LockReply { attempt, waits, refused, .. } => {
            let code = refused.as_ref().map(|refusal| refusal.code.as_str());
            Some(format!("{attempt} {}", code.unwrap_or(if *waits { "waits" } else { "granted" })))
        }
        _ => None,
    };
    facts(effects).into_iter().filter_map(reply).collect()
}

fn listed(index: &Index) -> Vec<(String, bool)> {
    index.core.list_locks().into_iter().map(|(lock, waits)| (lock.attempt.to_string(), waits)).collect()
}

#[test]
fn a_lock_is_durable_and_ends_with_the_last_attempt_of_its_task() {
    let mut index = Index::with_store();
    assert_eq!(replies(&index.scheduler(lock("1.1", true, Manner::Wait))), ["1.1 granted"]);
    assert_eq!(replies(&index.scheduler(lock("1.1", true, Manner::Wait))), ["1.1 granted"], "asked again");
    assert_eq!(replies(&index.scheduler(lock("2.1", false, Manner::Wait))), ["2.1 waits"]);
    assert_eq!(replies(&index.scheduler(lock("3.1", false, Manner::Try))), ["3.1 SP-UNAVAILABLE"]);
    assert_eq!(replies(&index.scheduler(lock("1.2", true, Manner::Wait))), ["1.2 granted"], "the successor shares it");
    index.restart();
    // Who waited asks again.
    assert_eq!(listed(&index), [("1.1".to_owned(), false), ("1.2".to_owned(), false)]);
    assert_eq!(index.core.list_locks()[0].0.since_unix_ms, 5);
    index.core.scheduler_open(index.time(), SCHEDULER);
    index.pass(1);
    assert_eq!(replies(&index.scheduler(lock("2.1", false, Manner::Wait))), ["2.1 waits"]);
    assert_eq!(replies(&index.scheduler(FromScheduler::Fence { task: TaskId(1), up_to: 1 })), Vec::<String>::new());
    assert_eq!(replies(&index.scheduler(FromScheduler::Release(attempt("1.2")))), ["2.1 granted"]);
    assert_eq!(replies(&index.scheduler(lock("1.1", true, Manner::Wait))), ["1.1 SP-ATTEMPT-ENDED"]);
    assert_eq!(listed(&index), [("2.1".to_owned(), false)]);
    index.restart();
    assert_eq!(listed(&index), [("2.1".to_owned(), false)]);
}

#[test]
fn an_index_that_has_lost_its_state_grants_what_is_presented_and_after_a_lease_the_rest() {
    let mut index = Index::with_store();
    index.scheduler(lock("1.1", false, Manner::Wait));
    index.core = Core::new(Timing::default());
    index.core.await_locks();
    index.pass(60_000);
    index.core.scheduler_open(index.time(), SCHEDULER);
    assert_eq!(replies(&index.scheduler(lock("2.1", true, Manner::Wait))), ["2.1 waits"]);
    assert_eq!(replies(&index.scheduler(lock("3.1", false, Manner::Try))), ["3.1 SP-UNAVAILABLE"]);
    assert_eq!(replies(&index.scheduler(lock("1.1", false, Manner::Present))), ["1.1 granted"]);
    assert_eq!(replies(&index.pass(14_999)), Vec::<String>::new());
    assert_eq!(replies(&index.scheduler(lock("4.1", false, Manner::Try))), ["4.1 SP-UNAVAILABLE"]);
    assert_eq!(replies(&index.pass(1)), Vec::<String>::new(), "what was presented is in the way");
    assert_eq!(replies(&index.scheduler(lock("4.1", false, Manner::Try))), ["4.1 granted"]);
    index.scheduler(FromScheduler::Release(attempt("4.1")));
    assert_eq!(replies(&index.scheduler(FromScheduler::Fence { task: TaskId(1), up_to: 9 })), ["2.1 granted"]);
    assert_eq!(index.durable().iter().filter(|row| matches!(row, Stored::Lock(_))).count(), 1, "none leaks");
}
