//! Lotus's own scenarios of finding and allocating, and what we do better.

use sp_types::{FileKind, FileKindSet, Filters};

use super::tests::*;
use super::*;

const SIZE: u64 = 2048;
const SEALED_AND_CACHE: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];

/// An index with these stores of one worker, each with 10 GiB free.
fn with(stores: &[Settings]) -> Index {
    let mut index = Index::new();
    index.core.worker_open(index.time(), W1, hello("w1"));
    for store in stores {
        index.from(W1, FromWorker::Attach(store.clone(), health(10 * GIB, GIB)));
    }
    index
}

fn grouped(name: &str, groups: &[&str], allow_to: &[&str]) -> Settings {
    let list = |of: &[&str]| of.iter().map(|&s| s.to_owned()).collect();
    Settings { groups: list(groups), allow_to: list(allow_to), ..settings(name) }
}

fn put(index: &mut Index, store: &str, kinds: &[FileKind]) {
    let replicas = kinds.iter().map(|kind| replica(store, *kind, 1)).collect();
    index.from(W1, FromWorker::Declare { request: 1, replicas, attempt: None });
}

fn find(index: &Index, kinds: &[FileKind]) -> Vec<FoundStore> {
    index.core.find_stores(&Find {
        sector: SECTOR,
        kinds: FileKindSet::of(kinds),
        fetch: Some(Fetch { sector_size: SIZE, limit: usize::MAX }),
    })
}

/// Stores that hold something, and those that could fetch it.
fn names<'a>(found: &'a [FoundStore]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (held, others): (Vec<_>, Vec<_>) = found.iter().partition(|f| !f.held.is_empty());
    let names = |stores: Vec<&'a FoundStore>| stores.into_iter().map(|f| f.id.as_str()).collect();
    (names(held), names(others))
}

fn allocate(kinds: &[FileKind], path_use: PathUse) -> Allocate {
    Allocate { miner: SECTOR.miner, kinds: FileKindSet::of(kinds), sector_size: SIZE, path_use }
}

fn chosen(index: &Index, wanted: &Allocate) -> Vec<String> {
    index.core.best_alloc(wanted, usize::MAX).stores.iter().map(|s| s.id.to_string()).collect()
}

fn refused(index: &Index, wanted: &Allocate) -> String {
    let allocated = index.core.best_alloc(wanted, usize::MAX);
    assert_eq!(allocated.stores, []);
    allocated.refused.iter().map(|(store, reason)| format!("{store}: {reason}\n")).collect()
}

#[test]
fn find_names_one_holder_and_one_candidate() {
    let mut index = with(&[settings("a"), settings("b")]);
    put(&mut index, "a", &SEALED_AND_CACHE);
    let found = find(&index, &SEALED_AND_CACHE);
    assert_eq!(names(&found), (vec!["a"], vec!["b"]));
    assert_eq!((found[0].weight, found[0].primary, found[0].held), (20, true, FileKindSet::of(&SEALED_AND_CACHE)));
    assert_eq!((found[1].weight, found[1].primary, found[1].held.is_empty()), (0, false, true));
    assert_eq!(found[0].holders, [(hello("w1").worker, "http://w1".to_owned())]);
    // Without the wish to fetch only the holder, and by what is asked for.
    let only = Find { sector: SECTOR, kinds: FileKindSet::of(&[FileKind::Cache]), fetch: None };
    let found = index.core.find_stores(&only);
    assert_eq!((names(&found).1.len(), found[0].weight), (0, 10));
    // Nothing there: nothing to fetch.
    assert_eq!(find(&index, &[FileKind::Unsealed]), []);
}

#[test]
fn allow_to_without_a_matching_group_hides_the_candidate_and_a_match_shows_it() {
    let mut index = with(&[grouped("a", &[], &["fast"]), grouped("b", &["slow"], &[])]);
    put(&mut index, "a", &[FileKind::Sealed]);
    assert_eq!(names(&find(&index, &[FileKind::Sealed])), (vec!["a"], vec![]));
    let mut index = with(&[grouped("a", &[], &["fast"]), grouped("b", &["slow", "fast"], &[])]);
    put(&mut index, "a", &[FileKind::Sealed]);
    assert_eq!(names(&find(&index, &[FileKind::Sealed])), (vec!["a"], vec!["b"]));
}

/// Lotus joins the lists of all paths that hold anything, and so lets a cache go where only the sealed file may.
#[test]
fn every_kind_needs_a_holder_that_lets_it_go() {
    let stores = [grouped("a", &[], &["fast"]), grouped("b", &[], &["slow"]), grouped("c", &["fast"], &[])];
    let mut index = with(&stores);
    put(&mut index, "a", &[FileKind::Sealed]);
    put(&mut index, "b", &[FileKind::Cache]);
    assert!(names(&find(&index, &SEALED_AND_CACHE)).1.is_empty());
    assert_eq!(names(&find(&index, &[FileKind::Sealed])).1, ["c"]);
    // A second copy may go where the first may not.
    put(&mut index, "a", &[FileKind::Cache]);
    assert_eq!(names(&find(&index, &SEALED_AND_CACHE)).1, ["c"]);
}

/// Workers 1 and 2 do PC1 and PC2, each with a group of its own; worker 3 does PC1 only and lets its files go to 1.
#[test]
fn lotus_group_example() {
    let stores = [grouped("w1", &["g1"], &["g1"]), grouped("w2", &["g2"], &["g2"]), grouped("w3", &[], &["g1"])];
    for (maker, goes_to) in [("w3", vec!["w1"]), ("w1", vec![]), ("w2", vec![])] {
        let mut index = with(&stores);
        put(&mut index, maker, &SEALED_AND_CACHE);
        assert_eq!(names(&find(&index, &SEALED_AND_CACHE)), (vec![maker], goes_to), "made by {maker}");
    }
}

#[test]
fn a_candidate_seals_is_well_has_room_and_takes_every_kind() {
    let no_cache = Filters { deny_types: vec!["cache".into()], ..Filters::default() };
    let other_miner = Filters { allow_miners: vec!["t02000".into()], ..Filters::default() };
    let stores = [
        settings("a"),
        Settings { can_seal: false, can_store: true, ..settings("store") },
        Settings { filters: no_cache, ..settings("no-cache") },
        Settings { filters: other_miner, ..settings("other-miner") },
        Settings { max_storage_bytes: GIB + 1, ..settings("full") },
        settings("sick"),
        settings("ok"),
    ];
    let mut index = with(&stores);
    put(&mut index, "a", &SEALED_AND_CACHE);
    let sick = Health { error: "input/output error".into(), ..health(10 * GIB, GIB) };
    index.from(W1, FromWorker::Health(store_id("sick"), sick));
    assert_eq!(names(&find(&index, &SEALED_AND_CACHE)).1, ["ok"]);
    assert_eq!(names(&find(&index, &[FileKind::Sealed])).1, ["no-cache", "ok"], "filters are asked of what is fetched");
    // A holder stays named when it is stale or away; nobody can fetch to a stale one.
    index.pass(30_001);
    let found = find(&index, &SEALED_AND_CACHE);
    assert_eq!(names(&found), (vec!["a"], vec![]));
    assert!(found[0].unhealthy.is_some());
    index.core.closed(index.time(), W1);
    assert!(find(&index, &SEALED_AND_CACHE)[0].holders.is_empty());
}

#[test]
fn best_alloc_honours_path_use_space_and_miners() {
    let only = |miner: &str| Filters { allow_miners: vec![miner.into()], ..Filters::default() };
    let stores = [
        Settings { can_store: true, can_seal: false, ..settings("store") },
        Settings { filters: only("t01000"), ..settings("ours") },
        Settings { filters: only("t02000"), ..settings("theirs") },
        Settings { max_storage_bytes: GIB + SIZE * 15, ..settings("small") },
    ];
    let index = with(&stores);
    assert_eq!(chosen(&index, &allocate(&SEALED_AND_CACHE, PathUse::Storage)), ["store"]);
    // While it is sealed a cache takes 14.1 times the sector, so both kinds do not fit on the small one.
    assert_eq!(chosen(&index, &allocate(&SEALED_AND_CACHE, PathUse::Sealing)), ["ours"]);
    assert_eq!(chosen(&index, &allocate(&[FileKind::Cache], PathUse::Sealing)), ["ours", "small"]);
    let theirs = Allocate { miner: 2000, ..allocate(&[FileKind::Sealed], PathUse::Sealing) };
    assert_eq!(chosen(&index, &theirs), ["theirs", "small"]);
    let neither = with(&[Settings { can_seal: false, ..settings("read-only") }]);
    assert!(refused(&neither, &allocate(&[FileKind::Sealed], PathUse::Sealing)).contains("CanSeal is off"));
    assert!(refused(&neither, &allocate(&[FileKind::Sealed], PathUse::Storage)).contains("CanStore is off"));
}

#[test]
fn lotus_tables_say_what_is_needed() {
    let gib32 = 32 * GIB;
    let tenths =
        |kinds: &[FileKind], path_use| choose::need_bytes(FileKindSet::of(kinds), gib32, path_use) / (gib32 / 10);
    assert_eq!(tenths(&SEALED_AND_CACHE, PathUse::Sealing), 151);
    assert_eq!(tenths(&SEALED_AND_CACHE, PathUse::Storage), 11);
    assert_eq!(tenths(&[FileKind::Update, FileKind::UpdateCache], PathUse::Sealing), 31);
}

#[test]
fn the_best_has_the_most_free_space_times_weight_after_reservations() {
    let weighing = |name: &str, weight| Settings { weight, ..settings(name) };
    let mut index = with(&[weighing("a", 10), weighing("b", 30), weighing("c", 10), weighing("none", 0)]);
    index.core.scheduler_open(index.time(), SCHEDULER);
    let wanted = allocate(&[FileKind::Sealed], PathUse::Sealing);
    assert_eq!(chosen(&index, &wanted), ["b", "a", "c", "none"], "ids break ties, and weight 0 comes last");
    // Known the moment it is made: no report in between.
    let reserve = |id: &str, store: &str, bytes| super::tests::reserve(id, vec![item(store, bytes)]);
    index.scheduler(reserve("1.1", "b", 7 * GIB));
    index.scheduler(reserve("2.1", "a", GIB));
    assert_eq!(chosen(&index, &wanted), ["c", "a", "b", "none"]);
    index.scheduler(FromScheduler::Release(attempt("1.1")));
    assert_eq!(chosen(&index, &wanted)[0], "b");
    // What is reserved cannot be given twice.
    index.scheduler(reserve("3.1", "b", 10 * GIB));
    assert_eq!(chosen(&index, &wanted), ["c", "a", "none"]);
    assert_eq!(index.core.best_alloc(&wanted, 1).stores.len(), 1);
}

#[test]
fn huge_figures_do_not_wrap_around() {
    let heavy = Settings { weight: u64::MAX, ..settings("heavy") };
    let mut index = with(&[heavy, settings("light")]);
    index.from(W1, FromWorker::Health(store_id("heavy"), health(u64::MAX, 0)));
    assert_eq!(chosen(&index, &allocate(&[FileKind::Sealed], PathUse::Sealing)), ["heavy", "light"]);
    put(&mut index, "heavy", &SEALED_AND_CACHE);
    assert_eq!(find(&index, &SEALED_AND_CACHE)[0].weight, u64::MAX);
}

#[test]
fn a_list_whose_every_entry_is_invalid_allows_nothing() {
    let filters = Filters { allow_types: vec!["seald".into()], ..Filters::default() };
    let index = with(&[Settings { filters, ..settings("a") }]);
    let reasons = refused(&index, &allocate(&[FileKind::Sealed], PathUse::Sealing));
    assert_eq!(reasons, "a: AllowTypes does not name sealed\n");
}

#[test]
fn a_store_is_unusable_after_30_s_and_usable_at_once_with_the_next_report() {
    let mut index = with(&[settings("a")]);
    let wanted = allocate(&[FileKind::Sealed], PathUse::Sealing);
    index.pass(30_000);
    assert_eq!(chosen(&index, &wanted), ["a"]);
    index.pass(1);
    assert_eq!(refused(&index, &wanted), "a: no report for more than 30 s\n");
    index.from(W1, FromWorker::Health(store_id("a"), health(10 * GIB, GIB)));
    assert_eq!(chosen(&index, &wanted), ["a"]);
}
