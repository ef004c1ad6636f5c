//! A store that is looked at from outside: what is there and what is left over is told, and nothing is touched.

use super::*;
use crate::store::{Seen, Stray};

fn observed(disk: &MemDisk) -> Store {
    Store::observe(Arc::new(disk.clone()), Path::new(ROOT)).unwrap()
}

#[test]
fn replicas_are_seen_as_they_lie_there() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let infos = publish(&disk, &store, "1.1", 1);
    store.discard(attempt("1.1")).unwrap();
    let looked = observed(&disk);
    let whole = |info: &ReplicaInfo| Seen { info: info.clone(), there_bytes: Some(info.size_bytes), bad_head: None };
    assert_eq!(looked.seen().unwrap(), infos.iter().map(whole).collect::<Vec<_>>());
    assert_eq!(looked.strays().unwrap(), []);

    let sealed = store.layout().replica(SECTOR, FileKind::Sealed);
    disk.open_write(&sealed).unwrap().set_size(7).unwrap();
    remove_any(&disk, &store.layout().replica(SECTOR, FileKind::Cache)).unwrap();
    let there: Vec<_> = looked.seen().unwrap().into_iter().map(|seen| seen.there_bytes).collect();
    assert_eq!(there, [Some(7), None]);
    write(&disk, &store.layout().head(SECTOR, FileKind::Sealed), b"no head");
    let bad: Vec<_> = looked.seen().unwrap().into_iter().map(|seen| seen.bad_head.is_some()).collect();
    assert_eq!(bad, [true, false]);
}

#[test]
fn everything_that_is_no_replica_is_a_stray_and_stays() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    publish(&disk, &store, "1.1", 1);
    let (looked, layout) = (observed(&disk), store.layout().clone());
    let (work, journal) = (layout.work(attempt("1.1")), layout.journal(attempt("9.9")));
    let own = layout.work_dir().parent().unwrap().to_owned();
    let list = layout.list(SECTOR, FileKind::Sealed, &[9; 32]);
    let odd = [
        layout.kind_dir(FileKind::Sealed).join("notes.txt"),
        // A directory where a file belongs.
        layout.kind_dir(FileKind::Unsealed).join("s-t01000-1/x"),
        own.join("forgotten"),
        layout.manifest_dir(FileKind::Cache).join("readme"),
    ];
    let half = [layout.trash(SECTOR, FileKind::Sealed), layout.journal_dir().join("2.1.json.tmp")];
    for path in odd.iter().chain(&half).chain([&journal, &list, &layout.probe("w1"), &layout.lock()]) {
        write(&disk, path, b"x");
    }
    write(&disk, &layout.kind_dir(FileKind::Sealed).join("fetching"), b"lotus");
    let mut expected = vec![
        Stray::Work(attempt("1.1"), work),
        Stray::Work(attempt("1.1"), layout.owner(attempt("1.1"))),
        Stray::Journal(attempt("9.9"), journal.clone()),
        Stray::Manifest(list),
        Stray::Unknown(odd[1].parent().unwrap().to_owned()),
    ];
    expected.extend(half.map(Stray::HalfDone));
    expected.extend([0, 2, 3].map(|at| Stray::Unknown(odd[at].clone())));
    expected.sort();
    assert_eq!(looked.strays().unwrap(), expected);
    assert_eq!(looked.strays().unwrap(), expected, "looking changes nothing");
    assert!(looked.discard(attempt("1.1")).is_err() && looked.work(attempt("1.1")).is_err(), "nothing is written");
    assert!(disk.metadata(&journal).is_ok());
}
