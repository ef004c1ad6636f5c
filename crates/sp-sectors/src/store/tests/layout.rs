//! A path that we used still opens in Lotus: its directories hold Lotus's names only.

use super::*;
use crate::disk::RealDisk;

/// Everything below a directory, relative to it.
fn tree(disk: &dyn Disk, dir: &Path, prefix: &str, into: &mut Vec<String>) {
    for entry in disk.list(dir).unwrap() {
        let name = format!("{prefix}{}", entry.name);
        if entry.is_dir {
            tree(disk, &dir.join(&entry.name), &format!("{name}/"), into);
        }
        into.push(name);
    }
}

fn lotus_part(disk: &dyn Disk, root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    tree(disk, root, "", &mut names);
    names.retain(|n| !n.starts_with(".sp"));
    names.sort();
    names
}

fn use_a_store(disk: &Arc<dyn Disk>, root: &Path) {
    let meta = StoreMeta::new(&StoreId::new("3f2504e0-4f89-41d3-9a0c-0305e82c3301").unwrap(), true, true);
    let store = Store::init(disk.clone(), root, &meta).unwrap();
    for (id, fill) in [("1.1", 1), ("2.1", 2)] {
        let work = store.work(attempt(id)).unwrap();
        let mut outputs = Vec::new();
        for kind in FileKind::ALL {
            let path = work.path(SECTOR, kind);
            let path = if kind.is_directory() { path.join("p_aux") } else { path };
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.create_new(&path).unwrap().write_at(&[fill; 100], 0).unwrap();
            outputs.push((SECTOR, kind));
        }
        let infos = store.publish(attempt(id), &outputs).unwrap();
        infos.iter().for_each(|info| store.verify(&info.id).unwrap());
        let copy = store.work(attempt("3.1")).unwrap();
        infos.iter().for_each(|info| drop(copy.take_copy(&info.id, CopyMode::Link).unwrap()));
    }
    let piece = store.find(SECTOR, FileKind::Piece).unwrap().unwrap();
    assert_eq!(store.delete(&piece.id).unwrap(), Deleted::Removed);
}

const EXPECTED: [&str; 14] = [
    "cache",
    "cache/s-t01000-7",
    "cache/s-t01000-7/p_aux",
    "piece",
    "sealed",
    "sealed/s-t01000-7",
    "sectorstore.json",
    "unsealed",
    "unsealed/s-t01000-7",
    "update",
    "update-cache",
    "update-cache/s-t01000-7",
    "update-cache/s-t01000-7/p_aux",
    "update/s-t01000-7",
];

#[test]
fn only_lotus_names_in_memory() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::default());
    use_a_store(&disk, Path::new(ROOT));
    assert_eq!(lotus_part(&*disk, Path::new(ROOT)), EXPECTED);
}

#[test]
fn only_lotus_names_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let root = dir.path().join("store");
    use_a_store(&disk, &root);
    assert_eq!(lotus_part(&*disk, &root), EXPECTED);
    let store = Store::open(disk, &root, &BTreeSet::new()).unwrap();
    assert_eq!(store.replicas().unwrap().len(), 6);
    assert!(store.stat().unwrap().capacity_bytes > 0);
}
