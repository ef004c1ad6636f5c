//! What workers say of replicas: whom the index believes, and what it keeps of what was said before.

use sp_types::{FileKind, Soundness, TaskId};

use super::tests::*;
use super::*;

#[test]
fn declarations_of_ended_attempts_and_foreign_stores_are_refused() {
    let mut index = Index::with_store();
    let fence = index.scheduler(FromScheduler::Fence { task: TaskId(3), up_to: 2 });
    assert_eq!(fence, [Effect::Worker(W1, ToWorker::Fence { task: TaskId(3), up_to: 2 })]);
    let declare = |id: &str, store: &str| FromWorker::Declare {
        request: 9,
        replicas: vec![replica(store, FileKind::Sealed, 1)],
        attempt: Some(attempt(id)),
    };
    let code = |effects: Vec<Effect>| match effects.last() {
        Some(Effect::Worker(_, ToWorker::DeclareAck { request: 9, refused })) => refused.as_ref().map(|r| r.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(index.from(W1, declare("3.1", "a"))), Some(ErrorCode::AttemptEnded));
    assert_eq!(code(index.from(W1, declare("3.2", "a"))), Some(ErrorCode::AttemptEnded));
    // Never granted, and granted something else.
    index.scheduler(FromScheduler::Presented);
    assert_eq!(code(index.from(W1, declare("3.3", "a"))), Some(ErrorCode::AttemptEnded));
    let items = [ReserveItem { kind: FileKind::Cache, ..item("a", 1) }, item("b", 1)];
    index.core.worker_open(index.time(), W2, hello("w2"));
    index.from(W2, FromWorker::Attach(settings("b"), health(10 * GIB, GIB)));
    assert_eq!(reserve_reply(&index.scheduler(reserve("3.3", items.to_vec()))), None);
    assert_eq!(code(index.from(W1, declare("3.3", "a"))), Some(ErrorCode::BadRequest));
    let foreign = index.from(W1, declare("3.3", "b"));
    assert!(format!("{foreign:?}").contains("not attached"), "{foreign:?}");
    assert_eq!(index.core.find_sector(SECTOR), []);
    assert_eq!(reserve_reply(&index.scheduler(reserve("3.4", vec![item("a", 1)]))), None);
    assert_eq!(code(index.from(W1, declare("3.4", "a"))), None);
    // A lower fence does not lift a higher one, and survives a restart.
    index.scheduler(FromScheduler::Fence { task: TaskId(3), up_to: 1 });
    index.restart();
    index.core.worker_open(index.time(), W1, hello("w1"));
    let effects = index.effects();
    assert_eq!(effects[1], Effect::Worker(W1, ToWorker::Fence { task: TaskId(3), up_to: 2 }));
    index.from(W1, FromWorker::Attach(settings("a"), health(GIB, 0)));
    assert_eq!(code(index.from(W1, declare("3.2", "a"))), Some(ErrorCode::AttemptEnded));
}

#[test]
fn what_a_scrub_has_found_is_kept_until_it_is_scrubbed_again_or_another_file_is_there() {
    let mut index = Index::with_store();
    let say = |index: &mut Index, root: u8, soundness: Soundness, primary: bool| {
        let replicas = vec![ReplicaInfo { soundness, primary, ..replica("a", FileKind::Sealed, root) }];
        let effects = index.from(W1, FromWorker::Declare { request: 1, replicas, attempt: None });
        let told = effects.iter().find_map(|effect| match effect {
            Effect::Scheduler(_, facts) => facts.iter().find_map(|fact| match fact {
                Fact::Replica(info) => Some(info.soundness),
                _ => None,
            }),
            _ => None,
        });
        (told, index.core.find_sector(SECTOR)[0].soundness)
    };
    use Soundness::{Faulty, Sound, Unknown};
    assert_eq!(say(&mut index, 1, Unknown, true), (Some(Unknown), Unknown));
    assert_eq!(say(&mut index, 1, Faulty, true), (Some(Faulty), Faulty));
    assert_eq!(say(&mut index, 1, Unknown, true), (None, Faulty), "another worker, or the same one later");
    assert_eq!(say(&mut index, 1, Unknown, false), (Some(Faulty), Faulty), "something else about it is new");
    index.restart();
    assert_eq!(index.core.find_sector(SECTOR)[0].soundness, Faulty, "it is durable");
    let mut index = Index::with_store();
    say(&mut index, 1, Faulty, true);
    assert_eq!(say(&mut index, 2, Unknown, true), (Some(Unknown), Unknown), "another file");
    say(&mut index, 2, Faulty, true);
    assert_eq!(say(&mut index, 2, Sound, true), (Some(Sound), Sound));
}

#[test]
fn an_index_that_has_started_believes_attempts_until_it_is_told_what_they_have() {
    let mut index = Index::with_store();
    let declare = |index: &mut Index, id: &str| {
        let replicas = vec![replica("a", FileKind::Sealed, 1)];
        match index.from(W1, FromWorker::Declare { request: 9, replicas, attempt: Some(attempt(id)) }).last() {
            Some(Effect::Worker(_, ToWorker::DeclareAck { refused, .. })) => refused.as_ref().map(|r| r.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(declare(&mut index, "3.1"), None);
    index.scheduler(FromScheduler::Presented);
    assert_eq!(declare(&mut index, "4.1"), Some(ErrorCode::AttemptEnded));
}
