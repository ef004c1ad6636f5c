//! That the simulated disk bites where a real one does, and that the real one does what the trait says.

use std::path::Path;

use super::*;

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8], sync: bool) {
    let file = disk.create_new(path).unwrap();
    file.write_at(bytes, 0).unwrap();
    if sync {
        file.sync().unwrap();
    }
}

#[test]
fn what_is_not_synced_is_lost() {
    let disk = MemDisk::default();
    let (dir, path) = (Path::new("/d"), Path::new("/d/a"));
    disk.create_dir_all(dir).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    write(&disk, path, b"x", true);
    disk.crash(Loss::Unsynced);
    assert!(!exists(&disk, path).unwrap(), "the name was not durable");
    write(&disk, path, b"x", false);
    disk.sync_dir(dir).unwrap();
    disk.crash(Loss::Unsynced);
    assert_eq!(disk.metadata(path).unwrap().size_bytes, 0, "the content was not durable");
    write_whole(&disk, path, b"yes").unwrap();
    disk.crash(Loss::Unsynced);
    assert_eq!(read_all(&disk, path, 10).unwrap(), b"yes");
}

#[test]
fn a_crash_kills_handles_and_the_fuse_every_call() {
    let disk = MemDisk::default();
    let file = disk.create_new(Path::new("/a")).unwrap();
    disk.crash(Loss::Nothing);
    assert!(file.write_at(b"x", 0).is_err());
    disk.fail_after(1);
    assert!(disk.list(Path::new("/")).is_ok());
    assert!(disk.list(Path::new("/")).is_err());
    disk.crash(Loss::Nothing);
    assert!(exists(&disk, Path::new("/a")).unwrap());
}

#[test]
fn an_unlinked_file_stays_readable_and_its_space_comes_back() {
    let disk = MemDisk::new(1 << 20);
    let path = Path::new("/a");
    for _ in 0..600 {
        write(&disk, path, &[1; 1000], false);
        let file = disk.open(path).unwrap();
        disk.remove_file(path).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        assert_eq!(file.read_at(&mut [0; 2000], 0).unwrap(), 1000);
    }
    assert!(disk.create_new(path).unwrap().write_at(&[1; 2 << 20], 0).is_err(), "the disk is full");
}

#[test]
fn what_cannot_be_written_leaves_nothing_beside_it() {
    let disk = MemDisk::new(1 << 20);
    let path = Path::new("/a");
    write_whole(&disk, path, b"old").unwrap();
    assert!(write_whole(&disk, path, &[1; 2 << 20]).is_err(), "the disk is full");
    let names: Vec<_> = disk.list(Path::new("/")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!((names, read_all(&disk, path, 10).unwrap()), (vec!["a".to_owned()], b"old".to_vec()));
}

/// The same steps on either disk.
fn exercise(disk: &dyn Disk, root: &Path) {
    let at = |name: &str| root.join(name);
    make_dirs(disk, &at("x/y")).unwrap();
    write(disk, &at("a"), b"one", true);
    write(disk, &at("b"), b"two", true);
    let kind = |r: io::Result<()>| r.unwrap_err().kind();
    assert_eq!(kind(disk.rename(&at("a"), &at("b"))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.rename(&at("none"), &at("c"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.create_new(&at("a")).map(drop)), io::ErrorKind::AlreadyExists);
    let (a, b) = (disk.metadata(&at("a")).unwrap(), disk.metadata(&at("b")).unwrap());
    disk.exchange(&at("a"), &at("b")).unwrap();
    assert_eq!((disk.metadata(&at("a")).unwrap(), disk.metadata(&at("b")).unwrap()), (b, a));
    disk.hard_link(&at("a"), &at("x/y/link")).unwrap();
    disk.copy(&at("a"), &at("copy")).unwrap();
    assert_eq!(kind(disk.copy(&at("a"), &at("copy"))), io::ErrorKind::AlreadyExists);
    disk.open_write(&at("a")).unwrap().write_at(b"2", 0).unwrap();
    assert_eq!(read_all(disk, &at("x/y/link"), 9).unwrap(), b"2wo");
    assert_eq!(read_all(disk, &at("copy"), 9).unwrap(), b"two");
    assert!(read_all(disk, &at("copy"), 2).is_err());
    holes_and_names(disk, root);
    disk.replace(&at("copy"), &at("a")).unwrap();
    assert_eq!(read_all(disk, &at("a"), 9).unwrap(), b"two");
    disk.rename(&at("x"), &at("z")).unwrap();
    let names: Vec<_> = disk.list(root).unwrap().into_iter().map(|e| (e.name, e.is_dir)).collect();
    assert_eq!(names, [("a".to_owned(), false), ("b".to_owned(), false), ("z".to_owned(), true)]);
    remove_any(disk, &at("z")).unwrap();
    remove_any(disk, &at("z")).unwrap();
    disk.sync_dir(root).unwrap();
    assert!(disk.space(root).unwrap().available_bytes > 0);
    let file = disk.open(&at("a")).unwrap();
    assert_eq!((file.read_at(&mut [0; 10], 1).unwrap(), file.read_at(&mut [0; 10], 9).unwrap()), (2, 0));
}

/// Holes read as zero and are found; a second name is seen; a clone, where there are any, is a file of its own.
fn holes_and_names(disk: &dyn Disk, root: &Path) {
    let at = |name: &str| root.join(name);
    let file = disk.create_new(&at("holes")).unwrap();
    file.set_size(3 << 20).unwrap();
    file.write_at(&[7; 4096], 2 << 20).unwrap();
    assert_eq!(file.size_bytes().unwrap(), 3 << 20);
    let mut first = [1; 10];
    assert_eq!((file.read_at(&mut first, 0).unwrap(), first), (10, [0; 10]));
    // A file system that does not know holes says that all of it is stored.
    assert!([0, 2 << 20].contains(&file.next_data(0).unwrap().unwrap()));
    assert_eq!(file.next_data(2 << 20).unwrap(), Some(2 << 20));
    assert_eq!(file.next_data(3 << 20).unwrap(), None);
    assert!(!file.is_shared().unwrap());
    disk.hard_link(&at("holes"), &at("second")).unwrap();
    assert!(file.is_shared().unwrap());
    file.set_size(1).unwrap();
    assert_eq!(disk.metadata(&at("second")).unwrap().size_bytes, 1);
    match disk.clone_file(&at("holes"), &at("clone")) {
        Ok(()) => {
            file.write_at(b"x", 0).unwrap();
            assert_eq!(read_all(disk, &at("clone"), 9).unwrap(), [0]);
        }
        Err(e) => assert_eq!(e.kind(), io::ErrorKind::Unsupported),
    }
    ["holes", "second", "clone"].iter().for_each(|name| remove_any(disk, &at(name)).unwrap());
}

#[test]
fn both_disks_do_the_same() {
    exercise(&MemDisk::default(), Path::new("/"));
    let dir = tempfile::tempdir().unwrap();
    exercise(&RealDisk, dir.path());
}
