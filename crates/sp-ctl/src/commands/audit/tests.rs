//! A path made by the test: what an audit says of it when all is well, and when one thing is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sp_proto::v1::{AttachedStore, SectorSummary, StoreFact};
use sp_sectors::{RealDisk, Store, StoreMeta};
use sp_types::{AttemptId, FileKind, SectorId, StoreId};

use super::finding::Fault;
use super::told::Told;
use super::{Look, digests, look_at_disks};

const SECTOR: SectorId = SectorId { miner: 1000, number: 3 };

/// A path with one finished sector, of which all is told as it is.
struct Fixture {
    dir: tempfile::TempDir,
    told: Told,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let meta = StoreMeta::new(&StoreId::new("shelf").unwrap(), false, true);
        let store = Store::init(Arc::new(RealDisk), dir.path(), &meta).unwrap();
        let attempt = id("1.1");
        let work = store.work(attempt).unwrap();
        fs::write(work.path(SECTOR, FileKind::Sealed), [7; 3000]).unwrap();
        fs::create_dir(work.path(SECTOR, FileKind::Cache)).unwrap();
        fs::write(work.path(SECTOR, FileKind::Cache).join("p_aux"), [1; 64]).unwrap();
        let outputs = [(SECTOR, FileKind::Sealed), (SECTOR, FileKind::Cache)];
        let infos = store.publish(attempt, &outputs).unwrap();
        store.discard(attempt).unwrap();
        let local_path = dir.path().display().to_string();
        let attached = AttachedStore { store: "shelf".into(), local_path, ..Default::default() };
        let fact = StoreFact { store: Some(attached), ..Default::default() };
        let sector = SectorSummary { number: 3, state: "Proving".into(), ..Default::default() };
        let listed = infos.into_iter().map(|info| ((info.id.sector, info.id.kind), info)).collect();
        let told = Told {
            miner: 1000,
            sectors: vec![sector],
            stores: [("shelf".to_owned(), fact)].into(),
            listed: [("shelf".to_owned(), listed)].into(),
            alive: BTreeSet::new(),
            locks: BTreeSet::new(),
        };
        Self { dir, told }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn look(&self) -> Look {
        look_at_disks(&self.told, &[]).unwrap()
    }

    fn faults(&self) -> Vec<(Fault, Option<&'static str>)> {
        self.look().findings.into_iter().map(|finding| (finding.fault, finding.kind)).collect()
    }
}

fn id(text: &str) -> AttemptId {
    text.parse().unwrap()
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

#[test]
fn a_path_that_is_as_told_is_clean() {
    let fixture = Fixture::new();
    let Look { findings, looked, skipped, finished } = fixture.look();
    assert_eq!((findings, looked[0].seen.len(), skipped.len(), finished), (BTreeSet::new(), 2, 0, 1));
}

#[test]
fn what_is_listed_must_be_there() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path("sealed/s-t01000-3")).unwrap();
    let place = fixture.path("sealed/s-t01000-3").display().to_string();
    let said: Vec<String> = fixture.look().findings.iter().map(ToString::to_string).collect();
    let expected = format!("sector 3, sealed: the index lists it, and it is not there ({place}, path shelf)");
    assert_eq!(said, [expected]);
    // Its manifest gone with it, it is as missing.
    fs::remove_file(fixture.path(".sp/manifests/sealed/s-t01000-3.head")).unwrap();
    let expected = [(Fault::Missing, Some("sealed")), (Fault::Leftover, None)];
    assert_eq!(fixture.faults(), expected, "the list of its manifest is left over");
}

#[test]
fn what_is_there_must_be_listed_as_it_is() {
    let mut fixture = Fixture::new();
    fixture.told.listed.get_mut("shelf").unwrap().get_mut(&(SECTOR, FileKind::Cache)).unwrap().id.root = [9; 32];
    assert_eq!(fixture.faults(), [(Fault::Differs, Some("cache"))]);
    fixture.told.listed.get_mut("shelf").unwrap().remove(&(SECTOR, FileKind::Cache));
    let expected = [(Fault::Unlisted, Some("cache")), (Fault::Incomplete, Some("cache"))];
    assert_eq!(fixture.faults(), expected, "and the sector lacks it");
    fixture.told.sectors[0].state = "PreCommit1".into();
    assert_eq!(fixture.faults(), expected[..1], "a sector on its way may lack files");
    put(&fixture.path("unsealed/s-t01000-3"));
    assert_eq!(fixture.faults(), [expected[0], (Fault::Unlisted, Some("unsealed"))], "as Lotus would have it");
}

#[test]
fn a_file_of_another_length_or_without_a_readable_head_is_told() {
    let fixture = Fixture::new();
    fs::write(fixture.path("sealed/s-t01000-3"), [7; 2999]).unwrap();
    assert_eq!(fixture.faults(), [(Fault::Differs, Some("sealed"))]);
    put(&fixture.path(".sp/manifests/sealed/s-t01000-3.head"));
    assert_eq!(fixture.faults(), [(Fault::Unreadable, Some("sealed"))], "its list is needed to make it anew");
}

#[test]
fn leftovers_are_told_unless_their_attempt_is_alive() {
    let mut fixture = Fixture::new();
    put(&fixture.path(".sp/work/5.2/sealed/s-t01000-9"));
    put(&fixture.path(".sp/journal/5.2.json"));
    assert_eq!(fixture.faults(), [(Fault::Leftover, None); 2]);
    fixture.told.alive.insert(id("5.1"));
    assert_eq!(fixture.faults(), [(Fault::Leftover, None); 2], "that is another attempt");
    fixture.told.alive.insert(id("5.2"));
    assert_eq!(fixture.faults(), []);
    put(&fixture.path("sealed/notes.txt"));
    put(&fixture.path(".sp/work/trash-sealed-s-t01000-4"));
    assert_eq!(fixture.faults(), [(Fault::Leftover, None); 2], "nobody owns those");
}

#[test]
fn space_is_reserved_for_living_attempts_only() {
    let mut fixture = Fixture::new();
    fixture.told.stores.get_mut("shelf").unwrap().reserved_bytes = 77;
    assert_eq!(fixture.faults(), [(Fault::Reserved, None)]);
    fixture.told.alive.insert(id("5.1"));
    assert_eq!(fixture.faults(), []);
}

#[test]
fn files_are_locked_by_living_attempts_only() {
    let mut fixture = Fixture::new();
    fixture.told.locks.insert((id("5.1"), SECTOR));
    assert_eq!(fixture.faults(), [(Fault::Locked, None)]);
    fixture.told.alive.insert(id("5.1"));
    assert_eq!(fixture.faults(), []);
}

#[test]
fn a_path_is_looked_at_where_it_is_and_else_named() {
    let mut fixture = Fixture::new();
    let fact = fixture.told.stores.get_mut("shelf").unwrap();
    fact.store.as_mut().unwrap().local_path = "/nowhere/at/all".into();
    let look = fixture.look();
    let skipped: Vec<_> = look.skipped.iter().map(|skipped| skipped.store.as_str()).collect();
    assert_eq!((look.looked.len(), look.findings.len(), skipped), (0, 0, vec!["shelf"]));

    let here = [fixture.dir.path().to_owned()];
    let look = look_at_disks(&fixture.told, &here).unwrap();
    assert_eq!((look.looked.len(), look.findings.len(), look.skipped.len()), (1, 0, 0));
    fixture.told.stores.clear();
    fixture.told.listed.clear();
    let look = look_at_disks(&fixture.told, &here).unwrap();
    let faults: Vec<_> = look.findings.iter().map(|finding| (finding.fault, finding.sector)).collect();
    let expected = [
        (Fault::Unlisted, None),
        (Fault::Unlisted, Some(3)),
        (Fault::Unlisted, Some(3)),
        (Fault::Incomplete, Some(3)),
        (Fault::Incomplete, Some(3)),
    ];
    assert_eq!(faults, expected);
    assert!(look_at_disks(&fixture.told, &[fixture.path("sealed")]).is_err(), "that is no path");
}

#[tokio::test]
async fn only_reading_it_whole_finds_a_byte_that_flipped() {
    let fixture = Fixture::new();
    let read = async || digests::read_whole(&fixture.look().looked, Duration::ZERO).await.unwrap();
    assert_eq!(read().await, []);
    let mut bytes = vec![7; 3000];
    bytes[1234] ^= 1;
    fs::write(fixture.path("sealed/s-t01000-3"), bytes).unwrap();
    assert_eq!(fixture.faults(), []);
    let found = read().await;
    assert_eq!((found.len(), found[0].fault, found[0].kind), (1, Fault::Damaged, Some("sealed")));
    assert!(found[0].reason.contains("chunk 0"), "{}", found[0].reason);
}
