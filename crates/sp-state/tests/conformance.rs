//! One suite that every engine must pass, and a model that it must equal.
// Tests meet the real machine.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sp_state::{Batch, CommitError, KEY_BYTES_MAX, Memory, Redb, Row, State, VALUE_BYTES_MAX};

/// An engine that can be closed and opened again, as a restart does.
trait Engine {
    fn state(&self) -> Arc<dyn State>;
    fn reopen(&mut self);
}

struct InMemory(Memory);

struct OnDisk {
    dir: tempfile::TempDir,
    state: Option<Arc<Redb>>,
}

impl Engine for InMemory {
    fn state(&self) -> Arc<dyn State> {
        Arc::new(self.0.clone())
    }

    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }
}

impl OnDisk {
    fn new() -> Self {
        let mut made = Self { dir: tempfile::tempdir().expect("temp dir"), state: None };
        made.reopen();
        made
    }
}

impl Engine for OnDisk {
    fn state(&self) -> Arc<dyn State> {
        self.state.clone().expect("open")
    }

    fn reopen(&mut self) {
        self.state = None;
        self.state = Some(Arc::new(Redb::open(self.dir.path().join("state.redb"), 1).expect("opens")));
    }
}

fn batch(build: impl FnOnce(&mut Batch) -> &mut Batch) -> Batch {
    let mut batch = Batch::new();
    build(&mut batch);
    batch
}

fn keys(rows: &[Row]) -> Vec<&[u8]> {
    rows.iter().map(|(key, _)| key.as_slice()).collect()
}

/// What every engine does.
fn suite(engine: &mut dyn Engine) {
    reads_and_writes(engine);
    conditions(engine.state().as_ref());
    pages(engine.state().as_ref());
    limits(engine.state().as_ref());
}

fn reads_and_writes(engine: &mut dyn Engine) {
    let state = engine.state();
    assert_eq!(state.get(b"a").expect("get"), None);
    state
        .commit(batch(|b| b.put("a", "1").put("b", "").put("a", "2").delete("none").put("c", "3").delete("c")))
        .expect("commit");
    state.commit(Batch::new()).expect("an empty batch is fine");
    drop(state);
    engine.reopen();
    let state = engine.state();
    assert_eq!(state.get(b"a").expect("get").as_deref(), Some(&b"2"[..]));
    assert_eq!(state.get(b"b").expect("get").as_deref(), Some(&b""[..]));
    assert_eq!(state.get(b"c").expect("get"), None);
}

fn conditions(state: &dyn State) {
    let refused = |b: Batch, key: &str| {
        let before = state.scan_all(b"").expect("scan");
        assert_eq!(state.commit(b), Err(CommitError::Condition { key: key.into() }));
        assert_eq!(state.scan_all(b"").expect("scan"), before, "nothing of a refused batch is there");
    };
    state.commit(batch(|b| b.put("leader", "1"))).expect("commit");
    refused(batch(|b| b.put("x", "1").require_absent("leader")), "leader");
    refused(batch(|b| b.put("x", "1").require_equals("leader", "2")), "leader");
    refused(batch(|b| b.put("x", "1").require_equals("leader", "1").require_equals("gone", "")), "gone");
    // Conditions speak of what was there before the batch.
    refused(batch(|b| b.put("new", "1").require_equals("new", "1")), "new");
    let takes_over =
        batch(|b| b.require_equals("leader", "1").require_absent("new").put("leader", "2").put("new", "1"));
    state.commit(takes_over).expect("they hold");
    assert_eq!(state.get(b"leader").expect("get").as_deref(), Some(&b"2"[..]));
}

fn pages(state: &dyn State) {
    let all: Vec<Vec<u8>> = (0..10_u8).map(|n| vec![b'p', 0xff, n]).collect();
    state.commit(batch(|b| all.iter().fold(b, |b, key| b.put(key.clone(), "v")))).expect("commit");
    state.commit(batch(|b| b.put("p", "short").put("q", "next").put([0xff, 0xff], "last"))).expect("commit");
    let prefix = [b'p', 0xff];
    let first = state.scan(&prefix, None, 4).expect("scan");
    assert_eq!(keys(&first), all[..4]);
    let second = state.scan(&prefix, Some(&all[3]), 100).expect("scan");
    assert_eq!(keys(&second), all[4..]);
    assert_eq!(state.scan(&prefix, Some(b"a"), 2).expect("scan").len(), 2, "after may lie before the prefix");
    assert!(state.scan(&prefix, Some(b"q"), 2).expect("scan").is_empty(), "or behind it");
    assert!(state.scan(&prefix, None, 0).expect("scan").is_empty());
    assert_eq!(keys(&state.scan(&[0xff], None, 9).expect("scan")), [[0xff, 0xff]]);
    assert_eq!(keys(&state.scan_all(b"p").expect("scan")).len(), 11);
}

fn limits(state: &dyn State) {
    let long_key = batch(|b| b.put(vec![1; KEY_BYTES_MAX + 1], "").put("fine", ""));
    assert!(matches!(state.commit(long_key), Err(CommitError::TooLarge { .. })));
    let long_value = batch(|b| b.put("big", vec![0; VALUE_BYTES_MAX + 1]));
    assert!(matches!(state.commit(long_value), Err(CommitError::TooLarge { .. })));
    assert_eq!(state.get(b"fine").expect("get"), None);
    state.commit(batch(|b| b.put(vec![1; KEY_BYTES_MAX], vec![7; VALUE_BYTES_MAX]))).expect("just fits");
    let big = state.get(&[1; KEY_BYTES_MAX]).expect("get").expect("there");
    assert_eq!(big.len(), VALUE_BYTES_MAX);
}

/// Many writers, each adding one under a condition: no update is lost.
fn contended(state: Arc<dyn State>) {
    const WRITERS: u32 = 4;
    const EACH: u32 = 10;
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..EACH).for_each(|_| add_one(state.as_ref())));
        }
    });
    let count = state.get(b"count").expect("get").expect("there");
    assert_eq!(count, (WRITERS * EACH).to_be_bytes());
}

fn add_one(state: &dyn State) {
    loop {
        let found = state.get(b"count").expect("get");
        let old = found.as_ref().map_or(0, |v| u32::from_be_bytes(v.as_slice().try_into().expect("four bytes")));
        let mut batch = Batch::new();
        match found {
            Some(value) => batch.require_equals("count", value),
            None => batch.require_absent("count"),
        };
        match state.commit(batch.put("count", (old + 1).to_be_bytes()).clone()) {
            Ok(()) => return,
            Err(CommitError::Condition { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn memory_conforms() {
    suite(&mut InMemory(Memory::new()));
    contended(Arc::new(Memory::new()));
}

#[test]
fn redb_conforms() {
    suite(&mut OnDisk::new());
    contended(OnDisk::new().state());
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Commit { writes: Vec<(u8, Option<u8>)>, requires: Option<(u8, Option<u8>)> },
    Scan { prefix: u8, after: Option<u8>, limit: usize },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..24_u8, proptest::option::weighted(0.8, any::<u8>()));
    let commit = (proptest::collection::vec(write.clone(), 0..6), proptest::option::weighted(0.3, write))
        .prop_map(|(writes, requires)| Step::Commit { writes, requires });
    let scan = (0..4_u8, proptest::option::of(0..24_u8), 0..9_usize).prop_map(|(prefix, after, limit)| Step::Scan {
        prefix,
        after,
        limit,
    });
    proptest::collection::vec(prop_oneof![6 => commit, 3 => scan, 1 => Just(Step::Reopen)], 1..24)
}

/// Two bytes, so that prefixes select some keys only.
fn key(n: u8) -> Vec<u8> {
    vec![n / 8, n % 8]
}

fn history(engine: &mut dyn Engine, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Reopen => engine.reopen(),
            Step::Scan { prefix, after, limit } => {
                let after = after.map(key);
                let found = engine.state().scan(&[*prefix], after.as_deref(), *limit).expect("scan");
                let beyond = |k: &Vec<u8>| after.as_ref().is_none_or(|after| k > after);
                let expected = model.iter().filter(|(k, _)| k[0] == *prefix && beyond(k)).take(*limit);
                prop_assert_eq!(found, expected.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>());
            }
            Step::Commit { writes, requires } => {
                let mut batch = Batch::new();
                let mut next = model.clone();
                for (n, value) in writes {
                    match value {
                        Some(value) => {
                            batch.put(key(*n), [*value]);
                            next.insert(key(*n), vec![*value]);
                        }
                        None => {
                            batch.delete(key(*n));
                            next.remove(&key(*n));
                        }
                    }
                }
                let mut holds = true;
                if let Some((n, value)) = requires {
                    holds = model.get(&key(*n)).map(Vec::as_slice) == value.as_ref().map(std::slice::from_ref);
                    match value {
                        Some(value) => batch.require_equals(key(*n), [*value]),
                        None => batch.require_absent(key(*n)),
                    };
                }
                let done = engine.state().commit(batch);
                prop_assert_eq!(done.is_ok(), holds);
                if holds {
                    model = next;
                }
            }
        }
    }
    engine.reopen();
    let all: Vec<Row> = model.into_iter().collect();
    prop_assert_eq!(engine.state().scan_all(b"").expect("scan"), all);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn memory_equals_the_model(steps in steps()) {
        history(&mut InMemory(Memory::new()), &steps)?;
    }
}

proptest! {
    // Every commit is an fsync.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn redb_equals_the_model(steps in steps()) {
        history(&mut OnDisk::new(), &steps)?;
    }
}
